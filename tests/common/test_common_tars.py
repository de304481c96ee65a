"""Tars depend only on their members, and members are read by offset."""

import re
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tars import member_places, read_at, write_tar

members = st.dictionaries(st.sampled_from(["jpg", "txt", "label_id.txt"]), st.binary(max_size=2000), min_size=1)


@settings(deadline=None)
@given(st.dictionaries(st.text("abcdef0123456789-", min_size=1, max_size=36), members, max_size=6))
def test_every_member_is_read_back_by_its_place(
    tmp_path_factory: pytest.TempPathFactory, samples: dict[str, dict[str, bytes]]
) -> None:
    tar = tmp_path_factory.mktemp("tar") / "a.tar"
    places = write_tar(tar, samples.items())
    with tar.open("rb") as file:
        for sample, spans in zip(samples.values(), places, strict=True):
            assert {extension: read_at(file, *span) for extension, span in spans.items()} == sample
    with tarfile.open(tar) as opened:
        assert opened.getnames() == [f"{key}.{extension}" for key in samples for extension in sorted(samples[key])]


def test_the_same_samples_give_the_same_bytes_at_another_time(tmp_path: Path) -> None:
    samples = [("b", {"txt": b"text", "jpg": b"image"}), ("a", {"jpg": b""})]
    write_tar(tmp_path / "one.tar", samples)
    time.sleep(1.1)
    write_tar(tmp_path / "other.tar", iter(samples))
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "other.tar").read_bytes()


@pytest.mark.parametrize("key", ["../a", "a.b"])
def test_keys_that_readers_would_take_apart_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(key))):
        write_tar(tmp_path / "a.tar", [(key, {"jpg": b""})])
    assert list(tmp_path.iterdir()) == []


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.tar: duplicate"):
        write_tar(tmp_path / "a.tar", [("a", {"jpg": b"1"}), ("a", {"jpg": b"2"})])


def test_a_short_tar_is_named(tmp_path: Path) -> None:
    tar = tmp_path / "a.tar"
    write_tar(tar, [("a", {"jpg": b"12345"})])
    place = member_places(tar)["a.jpg"]
    tar.write_bytes(tar.read_bytes()[: place.offset + 2])
    with tar.open("rb") as file, pytest.raises(InputError, match=r"a\.tar: ends before byte"):
        read_at(file, *place)
