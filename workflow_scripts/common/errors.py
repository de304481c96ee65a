"""The error for bad input, shown to the user in one line."""


class InputError(Exception):
    """Invalid input: a config, a file, or an argument.

    The message is one line: what is wrong, in which file and row, and what to do. `cli.run` prints it without a
    traceback and exits with status 2.
    """


class BusyError(InputError):
    """Another process is writing the same work folder."""
