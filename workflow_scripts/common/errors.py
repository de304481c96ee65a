"""The error for bad input, shown to the user in one line."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the most similar known one; "" if none is similar."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the error's class if it has no message."""
    return str(error).partition("\n")[0].strip() or type(error).__name__


class InputError(Exception):
    """Invalid input: a config, a file, or an argument.

    The message is one line: what is wrong, in which file and row, and what to do. `cli.run` prints it without a
    traceback and exits with status 2.
    """


class BusyError(InputError):
    """Another process is writing the same work folder."""
