"""Where a baseline's weights come from, as the config writes it in a word."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

START = "start"
TIMM = "timm:"
FOLDER = "local-dir:"
HUB = "hf-hub:"
CHECKPOINTS = (".pt", ".pth", ".bin", ".safetensors")

FORMS = (
    "`start`, `local-dir:PATH`, `hf-hub:NAME@COMMIT`, `NAME:TAG` (of open_clip), `NAME:FILE` (a checkpoint), "
    "`timm:local-dir:PATH` or `timm:hf-hub:NAME@COMMIT`"
)
_PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Baseline:
    """A model to score besides the run's own.

    Attributes:
        source: as the config has it.
        kind: `start` (the run's starting point), `folder` (on this disk), `hub` (Hugging Face, at a commit), `tag`
            (weights that open_clip knows) or `file` (a checkpoint on this disk).
        place: the folder, the repository with its commit, the tag, or the file.
        architecture: open_clip's model name, for `tag` and `file`.
        has_text: whether it has a text tower; timm's vision models have none.
    """

    source: str
    kind: Literal["start", "folder", "hub", "tag", "file"]
    place: str
    architecture: str = ""
    has_text: bool = True

    @property
    def is_fetched(self) -> bool:
        """Whether it must first be made a folder."""
        return self.kind in ("hub", "tag", "file")

    @property
    def config_file(self) -> str:
        """The file by which a folder is known to be a model's."""
        return f"{self.place}/{'open_clip_config.json' if self.has_text else 'config.json'}"


def parse_baseline(source: str) -> Baseline:
    """Read a baseline's source.

    Raises:
        ValueError: it is none of the forms, or a repository without a commit.
    """
    if source == START:
        return Baseline(source, "start", "")
    has_text = not source.startswith(TIMM)
    named = source.removeprefix(TIMM)
    if named.startswith(FOLDER):
        return Baseline(source, "folder", named.removeprefix(FOLDER), has_text=has_text)
    if named.startswith(HUB):
        place = named.removeprefix(HUB)
        if not _PINNED.fullmatch(place):
            raise ValueError(
                f"{source!r} names no commit; write hf-hub:NAME@COMMIT, with the 40 digits that the hub shows under "
                f"Files, History"
            )
        return Baseline(source, "hub", place, has_text=has_text)
    architecture, separator, place = named.partition(":")
    if not (has_text and separator and place and _MODEL_NAME.fullmatch(architecture)):
        raise ValueError(f"{source!r} is none of {FORMS}")
    kind: Literal["tag", "file"] = "file" if PurePosixPath(place).suffix in CHECKPOINTS else "tag"
    return Baseline(source, kind, place, architecture)
