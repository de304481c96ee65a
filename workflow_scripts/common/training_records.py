"""Records of finished trainings. A training stays bound to the data in its record; newer data does not rerun it."""

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

# Tables of a shard folder whose digests are in a record, in this order.
TABLES = ("manifest.parquet", "index.parquet")
START_FILES = (CONFIG_FILE, WEIGHTS_FILE)


@dataclass(frozen=True)
class Training:
    """A finished training's record.

    Attributes:
        path: path of its summary.json.
        data: digests of its training data: `biology` by corpus, and `replay`.
        start: digests of the files of its starting model, in the order of `START_FILES`.
        made_with: its settings and model, as JSON, and its code version.
    """

    path: Path
    data: dict[str, Any]
    start: list[str]
    made_with: dict[str, Any]

    def is_of(self, settings: TrainSettings, model: ModelSettings, version: str) -> bool:
        """Whether it was made with these settings, this model and this code version."""
        recorded = self.made_with
        try:
            same = TrainSettings.model_validate(recorded["settings"]) == settings
            same &= ModelSettings.model_validate(recorded["model"]) == model
        except ValidationError:
            # The record has a key that no longer exists.
            return False
        return same and recorded["version"] in (version, None)

    def corpora(self, now: Sequence[CorpusShards]) -> list[CorpusShards]:
        """The corpora with the generations that were trained on; unchanged if the number of corpora differs."""
        if len(now) != len(self.data["biology"]):
            return list(now)
        return [
            corpus.model_copy(update={"shards": corpus.shards[: len(known["train"]) // len(TABLES)]})
            for corpus, known in zip(now, self.data["biology"], strict=True)
        ]

    def behind(self, now: Sequence[CorpusShards], split: str, replay: Path | None, start: Path) -> Iterator[str]:
        """Describe what has changed since: new generations, changed tables, another starting model.

        Args:
            now: the current corpora.
            split: the training split.
            replay: the folder of replay, if it is used.
            start: the folder of the starting model.
        """
        for trained, corpus, known in zip(self.corpora(now), now, self.data["biology"], strict=False):
            yield from (f"{folder} is new" for folder in corpus.shards[len(trained.shards) :])
            name = split if corpus.labels else "train"
            yield from self._changed([Path(folder) / name for folder in trained.shards], known["train"])
            labels = Path(corpus.labels) if corpus.labels else None
            if labels is not None and self._differs(labels, known.get("labels")):
                yield f"{labels} changed"
        if replay is not None and self.data["replay"] is None:
            yield f"{replay} is new"
        elif replay is not None:
            yield from self._changed([replay / "train"], self.data["replay"]["train"])
        if any(self._differs(start / name, known) for name, known in zip(START_FILES, self.start, strict=False)):
            yield f"{start} changed"

    def _changed(self, folders: Sequence[Path], known: Sequence[str]) -> Iterator[str]:
        # The manifest has the digest of every shard; the index may be too large to read on every call.
        for folder, manifest in zip(folders, known[:: len(TABLES)], strict=False):
            if self._differs(folder / TABLES[0], manifest):
                yield f"{folder} changed"

    def _differs(self, table: Path, known: str | None) -> bool:
        if not table.exists() or table.stat().st_mtime_ns <= self.path.stat().st_mtime_ns:
            return False
        return sha256_file(table) != known


def finished_training(summary: Path) -> Training | None:
    """Read the record of a finished training; None if it does not exist.

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
            f"{summary}: damaged ({error}); delete it, and the next run adopts the finished training again"
        ) from None
