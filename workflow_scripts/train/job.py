"""What a training is given: inputs and settings, checked once, and the parts of a batch that follow from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.common.clip import CONFIG_FILE, REPLAY_PROJECTOR_FILE, WEIGHTS_FILE
from workflow_scripts.common.code_digest import code_digest
from workflow_scripts.common.config.train import ModelSettings, TrainLimits, TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.work_folder import file_digests
from workflow_scripts.contracts import REPLAY_INDEX, SHARD_INDEX
from workflow_scripts.train import samples, texts
from workflow_scripts.train.loader import PARTS, Pairs, make_pairs
from workflow_scripts.train.ranks import Ranks
from workflow_scripts.train.stream import rank_positions, steps_of


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        start: open_clip directory of the starting weights.
        model: the model's settings.
        settings: the recipe.
        limits: how it is run.
        shards: folders of biology shards, each with `train` and perhaps `val`; none for training on replay alone.
        labels: names of the biology labels.
        replay: folder of replay shards, with `train` and perhaps `val`.
    """

    start: Path
    model: ModelSettings
    settings: TrainSettings
    limits: TrainLimits
    shards: tuple[Path, ...]
    labels: Path | None
    replay: Path | None

    def folders(self, split: str) -> tuple[list[Path], list[Path]]:
        """The biology and the replay folders of a split that are used and exist."""
        biology = [folder / split for folder in self.shards]
        uses_replay = self.replay is not None and (self.settings.replay_batch > 0 or not self.shards)
        replay = [self.replay / split] if self.replay is not None and uses_replay else []
        if split == "val":
            return [f for f in biology if _is_shards(f)], [f for f in replay if _is_shards(f)]
        return biology, replay

    def check(self, ranks: Ranks) -> None:
        """Raise InputError unless everything that the training needs is there and fits together."""
        settings = self.settings
        if not torch.cuda.is_available() and not settings.allow_cpu:
            raise InputError("no GPU here, and training on the CPU is refused; set train.allow_cpu if it is meant")
        if torch.cuda.is_available() and torch.cuda.device_count() < ranks.local_size:
            raise InputError(
                f"{torch.cuda.device_count()} GPUs for {ranks.local_size} processes; lower limits.processes"
            )
        if not self.shards and self.replay is None:
            raise InputError("nothing to train on: give --shards or --replay")
        if self.shards and self.labels is None:
            raise InputError("--shards needs --labels, captions are written from them")
        if self.shards and settings.replay_batch and self.replay is None:
            raise InputError("train.replay_batch is set, but there is no --replay")
        if not self.shards and settings.replay_batch:
            raise InputError("training on replay alone takes train.global_batch pairs of it: set replay_batch to 0")
        for batch in (settings.global_batch, settings.replay_batch):
            rank_positions(0, batch, 0, ranks.size)
        for split in ("train", "val"):
            biology, replay = self.folders(split)
            for folder in biology:
                samples.check(folder, SHARD_INDEX)
            for folder in replay:
                samples.check(folder, REPLAY_INDEX)
            if biology and self.labels is not None:
                texts.check_labels(self.labels, [folder / samples.INDEX for folder in biology])

    def key(self) -> dict[str, Any]:
        """What the work depends on: data, starting weights, recipe and code. Not where they are, nor the limits."""
        tables = {
            f"{split}/{kind}": [folder / name for folder in folders for name in (samples.MANIFEST, samples.INDEX)]
            for split in ("train", "val")
            for kind, folders in zip(("biology", "replay"), self.folders(split), strict=True)
        }
        weights = [self.start / CONFIG_FILE, self.start / WEIGHTS_FILE]
        if (self.start / REPLAY_PROJECTOR_FILE).is_file():
            weights.append(self.start / REPLAY_PROJECTOR_FILE)
        labels = {"labels": self.labels} if self.shards and self.labels is not None else {}
        return {
            "data": file_digests({**tables, **labels}),
            "start": file_digests({"start": weights})["start"],
            "model": self.model.model_dump(mode="json", exclude={"start"}),
            "settings": self.settings.model_dump(mode="json"),
            "code": code_digest("workflow_scripts.train.run"),
        }

    def parts(
        self, split: str, folder: Path, tokenizer: Callable[[Sequence[str]], torch.Tensor], ranks: int
    ) -> list[Pairs]:
        """The parts of a batch: biology and replay, or replay alone; for validation those that have a val split.

        Args:
            split: `train` or `val`.
            folder: the work folder, where the labels' names are.
            tokenizer: texts -> token ids.
            ranks: how many processes share a batch.
        """
        validates = split == "val"
        parts = []
        for name, folders in zip(PARTS, self.folders(split), strict=True):
            shards = samples.list_shards(folders)
            found = sum(shard.samples for shard in shards)
            wanted = self.settings.replay_batch if name == "replay" and self.shards else self.settings.global_batch
            batch = min(wanted, found) // ranks * ranks if validates else wanted
            if not folders or not batch:
                continue
            if not found:
                raise InputError(f"{folders[0]}: no samples to train on")
            words = (
                texts.LabelTexts(folder, tokenizer, self.settings.templates)
                if name == "biology"
                else texts.CaptionTexts(tokenizer)
            )
            parts.append(make_pairs(name, shards, words, self.settings, batch=batch, augment=not validates))
        return parts

    @property
    def text_types(self) -> Sequence[str]:
        """What a step's text type is drawn from; replay alone has captions only."""
        return self.settings.text_types if self.shards else ["caption"]

    @property
    def val_text_type(self) -> str:
        """The text type of validation: the fullest one, which the settings name last."""
        return self.text_types[-1]

    def steps(self, parts: Sequence[Pairs]) -> int:
        """Steps of the whole training, counted over its first part."""
        return steps_of(self.settings.epochs, len(parts[0].stream), parts[0].batch)


def _is_shards(folder: Path) -> bool:
    return (folder / samples.MANIFEST).is_file()
