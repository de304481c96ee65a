"""Run a command that is killed when its parent process ends.

A separate program, because a process with threads must not run Python code between fork and exec.
"""

import os
import sys

from workflow_scripts.common.children import die_with_parent

if __name__ == "__main__":
    parent, *command = sys.argv[1:]
    die_with_parent(int(parent))
    os.execvp(command[0], command)
