"""The data of a training, and a command that prints the digest by which a config pins a corpus.

`python -m workflow_scripts.train.data --corpus FOLDER` prints that digest.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.train import CorpusShards, TrainSettings, ValidationShards
from workflow_scripts.common.corpus_identity import identify, identify_folder
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import connect
from workflow_scripts.common.work_folder import file_digests
from workflow_scripts.contracts import REFERENCE_INDEX, REPLAY_INDEX, SHARD_INDEX, TEXT_TYPES, Contract
from workflow_scripts.train import samples, texts
from workflow_scripts.train.staging import StagingArea
from workflow_scripts.train.stream import Mixture, Order, Stream, rank_positions, shares_of
from workflow_scripts.train.texts import CaptionTexts, LabelTexts, Texts, Tokenizer

if TYPE_CHECKING:
    from workflow_scripts.train.loader import Pairs

SPLITS = ("train", "val")
# Names of the corpus's own validation sets.
HELD_OUT = ("biology", "replay")


@dataclass(frozen=True)
class TrainingData:
    """The data of one training.

    Attributes:
        corpora: biology shards; empty when training on replay alone.
        replay: folder of replay shards, with `train` and optionally `val`.
        settings: training recipe.
        staging: local copies of shards; None reads them in place.
        validation: additional validation sets, beside the held-out splits.
    """

    corpora: tuple[CorpusShards, ...]
    replay: Path | None
    settings: TrainSettings
    staging: StagingArea | None = None
    validation: tuple[ValidationShards, ...] = ()

    def check(self, ranks: int) -> None:
        """Check the settings against the data, and all shards and labels.

        Args:
            ranks: number of ranks that share a batch.

        Raises:
            InputError: data is missing or damaged, or a batch is not divisible by `ranks`.
        """
        settings = self.settings
        if not self.corpora and self.replay is None:
            raise InputError("no training data; give --corpora or --replay")
        if self.corpora and settings.replay_batch and self.replay is None:
            raise InputError("train.replay_batch is set, but --replay is missing")
        if not self.corpora and settings.replay_batch:
            raise InputError("training on replay alone uses train.global_batch; set train.replay_batch to 0")
        if 0 < sum(corpus.weight is not None for corpus in self.corpora) < len(self.corpora):
            raise InputError("mix: give every corpus a weight, or none")
        if settings.templates and any(corpus.labels is None for corpus in self.corpora):
            raise InputError(
                "train.templates: shards in the published layout have fixed captions; remove the key, or use shards "
                "with labels"
            )
        for batch in (settings.global_batch, settings.replay_batch):
            rank_positions(0, batch, 0, ranks)
        for corpus in self.corpora:
            for split in SPLITS:
                folders = self.biology_folders(corpus, split)
                for folder in folders:
                    samples.check(folder, layout_of(corpus))
                if corpus.labels is not None:
                    texts.check_labels(Path(corpus.labels), [folder / samples.INDEX for folder in folders])
            if corpus.digest is not None and (found := corpus_digest(corpus)) != corpus.digest:
                raise InputError(f"{corpus.shards[0]}: digest mismatch: expected {corpus.digest}, found {found}")
        for split in SPLITS:
            for folder in self.replay_folders(split):
                samples.check(folder, REPLAY_INDEX)
        if self.validation and self.validation_text_type not in TEXT_TYPES:
            raise InputError(
                f"train.validation_text_type: the validation sets have no captions of type "
                f"{self.validation_text_type}; choose one of {', '.join(TEXT_TYPES)}"
            )
        for extra in self.validation:
            samples.check(_val(extra), REFERENCE_INDEX)

    def biology_folders(self, corpus: CorpusShards, split: str) -> list[Path]:
        """A corpus's shard folders of a split; for validation only those that exist."""
        # Shards in the published layout have no small split.
        name = self.settings.split if split == "train" and corpus.labels is not None else split
        folders = [Path(folder) / name for folder in corpus.shards]
        return folders if split == "train" else [folder for folder in folders if _is_shards(folder)]

    def replay_folders(self, split: str) -> list[Path]:
        """The replay folder of a split, if replay is used; for validation only if it exists."""
        if self.replay is None or (self.corpora and not self.settings.replay_batch):
            return []
        folder = self.replay / split
        return [folder] if split == "train" or _is_shards(folder) else []

    def digests(self) -> dict[str, Any]:
        """Digests of all data that the training depends on, independent of paths."""
        biology = [
            file_digests(_tables({split: self.biology_folders(corpus, split) for split in SPLITS}, corpus.labels))
            | {"weight": corpus.weight}
            for corpus in self.corpora
        ]
        replay = file_digests(_tables({split: self.replay_folders(split) for split in SPLITS}, None))
        validation = {extra.name: file_digests(_tables({"val": [_val(extra)]}, None)) for extra in self.validation}
        return {"biology": biology, "replay": replay, "validation": validation}

    def prepare(self, folder: Path) -> None:
        """Write the label names to the work folder; all processes memory-map them."""
        for number, corpus in enumerate(self.corpora):
            if corpus.labels is not None:
                texts.write_label_names(Path(corpus.labels), _labels_folder(folder, number))

    def datasets(self, split: str, folder: Path, tokenizer: Tokenizer, ranks: int) -> list["Pairs"]:
        """The datasets of a batch: biology and replay, or one of them.

        For validation, those with a val split and the additional validation sets.

        Args:
            split: `train` or `val`.
            folder: the work folder, after `prepare`.
            tokenizer: maps texts to token ids.
            ranks: number of ranks that share a batch.
        """
        captions = [CaptionTexts(tokenizer)]
        sources: list[tuple[str, list[samples.Shard], Sequence[Texts]]] = [
            ("biology", self._biology_shards(split), [self._texts(n, folder, tokenizer) for n in self._numbers()]),
            ("replay", samples.list_shards(self.replay_folders(split), REPLAY_INDEX), captions),
        ]
        if split == "val":
            sources += [
                (extra.name, samples.list_shards([_val(extra)], REFERENCE_INDEX), captions) for extra in self.validation
            ]
        found = []
        # The place in this list is part of the seed, so that each dataset has its own order.
        for place, (name, shards, sample_texts) in enumerate(sources):
            count = sum(shard.samples for shard in shards)
            batch = self.settings.replay_batch if name == "replay" and self.corpora else self.settings.global_batch
            if split == "val":
                batch = min(batch, count) // ranks * ranks
            if batch and (count or self._is_used(name)):
                seed = (self.settings.seed, place)
                found.append(self._pairs(name, shards, sample_texts, batch, seed, augment=split == "train"))
        return found

    @property
    def text_types(self) -> Sequence[str]:
        """Text types to draw from; replay alone has captions only."""
        return self.settings.text_types if self.corpora else ["caption"]

    @property
    def validation_text_type(self) -> str:
        """The text type of validation; replay alone has captions only."""
        return self.settings.validation_text_type if self.corpora else "caption"

    def _numbers(self) -> range:
        return range(len(self.corpora))

    def _is_used(self, name: str) -> bool:
        return bool(self.corpora) if name == "biology" else bool(self.replay_folders("train"))

    def _texts(self, number: int, folder: Path, tokenizer: Tokenizer) -> Texts:
        if self.corpora[number].labels is None:
            return CaptionTexts(tokenizer)
        return LabelTexts(_labels_folder(folder, number), tokenizer, self.settings.templates, self.settings.captions)

    def _biology_shards(self, split: str) -> list[samples.Shard]:
        return [
            shard
            for number, corpus in enumerate(self.corpora)
            for shard in samples.list_shards(self.biology_folders(corpus, split), layout_of(corpus), number)
        ]

    def _pairs(
        self,
        name: str,
        shards: Sequence[samples.Shard],
        sample_texts: Sequence[Texts],
        batch: int,
        seed: tuple[int, int],
        *,
        augment: bool,
    ) -> "Pairs":
        from workflow_scripts.train.loader import Pairs

        return Pairs(
            name=name,
            reader=samples.SampleReader(
                shards, [text.columns for text in sample_texts], self.settings.shuffle_window, self.staging
            ),
            stream=self._order(name, shards, batch, seed, mixed=augment),
            texts=sample_texts,
            batch=batch,
            # Differs from the seeds of the stream, so that augmentation and order draw different numbers.
            seed=(*seed, 1, 0, 0),
            scale=self.settings.augment_scale if augment else None,
        )

    def _order(
        self, name: str, shards: Sequence[samples.Shard], batch: int, seed: tuple[int, ...], *, mixed: bool
    ) -> Order:
        """One stream over all shards; for training on corpora with weights, a mixture of one stream per corpus."""
        window = self.settings.shuffle_window
        weights = [corpus.weight for corpus in self.corpora if corpus.weight is not None]
        if name == "replay" or not weights or not mixed:
            return Stream([shard.samples for shard in shards], seed, window)
        counts = [[shard.samples for shard in shards if shard.corpus == number] for number in self._numbers()]
        streams = [Stream(count, (*seed, 2, number), window) for number, count in enumerate(counts)]
        return Mixture(streams, shares_of(weights, batch), (*seed, 3))


def layout_of(corpus: CorpusShards) -> Contract:
    """The contract of a corpus's index tables."""
    return REFERENCE_INDEX if corpus.labels is None else SHARD_INDEX


def corpus_digest(corpus: CorpusShards) -> str:
    """The digest of a corpus, as in its `corpus.json` and in model cards."""
    labels, replay = (None if place is None else Path(place) for place in (corpus.labels, corpus.replay))
    with connect() as connection:
        return identify(connection, shards=list(map(Path, corpus.shards)), labels=labels, replay=replay).digest


def print_digest(*, corpus: Path) -> None:
    """Print the digest of a corpus, for `corpus_digest` or `digest` in a config.

    Args:
        corpus: a corpus (`results/corpora/<corpus>`), or a folder of indexed tars (`results/shared/indexed/<name>`).

    Raises:
        InputError: the folder has no shards.
    """
    sys.stdout.write(f"{identify_folder(corpus).digest}\n")


def _tables(folders: dict[str, list[Path]], labels: str | None) -> dict[str, Path | list[Path]]:
    tables: dict[str, Path | list[Path]] = {
        split: [folder / name for folder in found for name in (samples.MANIFEST, samples.INDEX)]
        for split, found in folders.items()
    }
    return tables if labels is None else {**tables, "labels": Path(labels)}


def _labels_folder(folder: Path, number: int) -> Path:
    return folder / f"labels-{number}"


def _val(extra: ValidationShards) -> Path:
    return Path(extra.shards) / "val"


def _is_shards(folder: Path) -> bool:
    return (folder / samples.MANIFEST).is_file()


if __name__ == "__main__":
    run(print_digest)
