"""A corpus as input for `decide`."""

from pathlib import Path

import pytest

from tests.curate.inputs import Corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)
