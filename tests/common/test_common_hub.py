"""Errors of the hub's client become one line that names the request."""

import socket

import pytest
from huggingface_hub import HfApi

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.hub import hub_errors


def test_a_hub_that_does_not_answer_is_bad_input() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with (
            pytest.raises(InputError, match=r"^group/beetles: cannot be had: .*refused"),
            hub_errors("group/beetles: cannot be had"),
        ):
            HfApi(endpoint=address).dataset_info("group/beetles")


@pytest.mark.parametrize("error", [OSError("disk full\nand more"), ValueError("disk full"), RuntimeError("disk full")])
def test_the_first_line_is_said(error: Exception) -> None:
    with pytest.raises(InputError, match=r"^here: disk full$"), hub_errors("here"):
        raise error
    with pytest.raises(InputError, match=rf"^here: {type(error).__name__}$"), hub_errors("here"):
        raise type(error)
