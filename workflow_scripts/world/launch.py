"""Run a command that dies with the process that launched it.

A module of its own, because nothing may be run between fork and exec in a process that has threads.
"""

import os
import sys

from workflow_scripts.common.children import die_with_parent

if __name__ == "__main__":
    parent, *command = sys.argv[1:]
    die_with_parent(int(parent))
    os.execvp(command[0], command)
