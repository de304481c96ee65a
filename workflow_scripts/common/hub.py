"""Requests to the Hugging Face Hub."""

from collections.abc import Iterator
from contextlib import contextmanager

from workflow_scripts.common.errors import InputError


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turn errors of requests to the hub into one line that begins with `what`.

    Raises:
        InputError: the hub refuses or cannot be reached, or its answer cannot be stored.
    """
    from httpx2 import HTTPError

    try:
        yield
    # Without an answer the client passes on the exception of its HTTP library, which is not an OSError.
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        line = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{what}: {line}") from None
