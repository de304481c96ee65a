"""Requests to the Hugging Face Hub."""

from collections.abc import Iterator
from contextlib import contextmanager

from workflow_scripts.common.errors import InputError


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """What the hub answers, or that it does not, as one line after `what`.

    Raises:
        InputError: the hub refuses, cannot be reached, or what it gives cannot be kept.
    """
    from httpx2 import HTTPError

    try:
        yield
    # Where no answer came, the client passes on what its HTTP library raises, which is no OSError.
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{what}: {said}") from None
