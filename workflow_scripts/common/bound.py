"""A finished training stays bound to the data in its record: later data does not plan it again."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workflow_scripts.common.config.train import CorpusShards, ModelSettings, TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.model_files import CONFIG_FILE, WEIGHTS_FILE

# The tables of a folder of shards whose digests a record names, in this order.
TABLES = ("manifest.parquet", "index.parquet")
START_FILES = (CONFIG_FILE, WEIGHTS_FILE)


@dataclass(frozen=True)
class Training:
    """A finished training's record.

    Attributes:
        path: its summary.json.
        data: the digests of what it was trained on: `biology` by corpus, and `replay`.
        start: those of the files of the model that it started from, in the order of `START_FILES`.
        made_with: its settings and model, as JSON, and the version of its code.
    """

    path: Path
    data: dict[str, Any]
    start: list[str]
    made_with: dict[str, Any]

    def is_of(self, settings: TrainSettings, model: ModelSettings, version: str) -> bool:
        """Whether it was made with these settings, this model and this version of the code."""
        then = self.made_with
        try:
            same = TrainSettings.model_validate(then["settings"]) == settings
            same &= ModelSettings.model_validate(then["model"]) == model
        except ValidationError:
            # A key that is no more.
            return False
        return same and then["version"] in (version, None)

    def corpora(self, now: Sequence[CorpusShards]) -> list[CorpusShards]:
        """The corpora with the generations that the training had; as they are now where the mix is another one."""
        if len(now) != len(self.data["biology"]):
            return list(now)
        return [
            corpus.model_copy(update={"shards": corpus.shards[: len(known["train"]) // len(TABLES)]})
            for corpus, known in zip(now, self.data["biology"], strict=True)
        ]

    def behind(self, now: Sequence[CorpusShards], split: str, replay: Path | None, start: Path) -> Iterator[str]:
        """What has changed since: new generations, tables of other contents, another model to start from.

        Args:
            now: the corpora as they are now.
            split: the split that is trained on.
            replay: the folder of replay, where it is used.
            start: the folder of the model that training starts from.
        """
        for then, corpus, known in zip(self.corpora(now), now, self.data["biology"], strict=False):
            yield from (f"{folder} is new" for folder in corpus.shards[len(then.shards) :])
            name = split if corpus.labels else "train"
            yield from self._changed([Path(folder) / name for folder in then.shards], known["train"])
            labels = Path(corpus.labels) if corpus.labels else None
            if labels is not None and self._is_other(labels, known.get("labels")):
                yield f"{labels} changed"
        if replay is not None and self.data["replay"] is None:
            yield f"{replay} is new"
        elif replay is not None:
            yield from self._changed([replay / "train"], self.data["replay"]["train"])
        if any(self._is_other(start / name, known) for name, known in zip(START_FILES, self.start, strict=False)):
            yield f"{start} changed"

    def _changed(self, folders: Sequence[Path], known: Sequence[str]) -> Iterator[str]:
        # The manifest has the sum of every shard; the index may be too large to be read at every call.
        for folder, manifest in zip(folders, known[:: len(TABLES)], strict=False):
            if self._is_other(folder / TABLES[0], manifest):
                yield f"{folder} changed"

    def _is_other(self, table: Path, known: str | None) -> bool:
        if not table.exists() or table.stat().st_mtime_ns <= self.path.stat().st_mtime_ns:
            return False
        return sha256_file(table) != known


def finished_training(summary: Path) -> Training | None:
    """The record of a finished training, if there is one.

    Raises:
        InputError: the record is damaged.
    """
    if not summary.exists():
        return None
    try:
        record = json.loads(summary.read_text(encoding="utf-8"))
        digests = record["digests"]
        data = {"biology": list(digests["data"]["biology"]), "replay": digests["data"]["replay"]}
        made_with = {"settings": record.get("settings"), "model": record.get("model")}
        made_with["version"] = digests.get("version")
        return Training(summary, data, list(digests["start"]), made_with)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{summary}: damaged ({error}); delete it, and the next run adopts the training again"
        ) from None
