"""Print the digest by which a config pins a corpus; the inputs of a training.

`python -m workflow_scripts.train.data --corpus FOLDER` prints the digest that a config may pin a corpus by.
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
from workflow_scripts.train.staging import Stage
from workflow_scripts.train.stream import Mixture, Order, Stream, rank_positions, shares_of
from workflow_scripts.train.texts import CaptionTexts, LabelTexts, Texts, Tokenizer

if TYPE_CHECKING:
    from workflow_scripts.train.loader import Pairs

SPLITS = ("train", "val")
# The held-out splits, as validation names them.
HELD_OUT = ("biology", "replay")


@dataclass(frozen=True)
class TrainingData:
    """The data of one training.

    Attributes:
        corpora: biology shards; none for training on replay alone.
        replay: folder of replay shards, with `train` and perhaps `val`.
        settings: the recipe.
        stage: where shards are copied to before they are read, or None.
        validation: further validation sets, beside the held-out splits.
    """

    corpora: tuple[CorpusShards, ...]
    replay: Path | None
    settings: TrainSettings
    stage: Stage | None = None
    validation: tuple[ValidationShards, ...] = ()

    def check(self, ranks: int) -> None:
        """Raise InputError unless the data is there, whole, and fits together; batches must be shared equally."""
        settings = self.settings
        if not self.corpora and self.replay is None:
            raise InputError("nothing to train on: give --corpora or --replay")
        if self.corpora and settings.replay_batch and self.replay is None:
            raise InputError("train.replay_batch is set, but there is no --replay")
        if not self.corpora and settings.replay_batch:
            raise InputError("training on replay alone takes train.global_batch pairs of it: set replay_batch to 0")
        if 0 < sum(corpus.weight is not None for corpus in self.corpora) < len(self.corpora):
            raise InputError("mix: give every corpus a weight, or none")
        if settings.templates and any(corpus.labels is None for corpus in self.corpora):
            raise InputError("train.templates: shards in the published layout have no names to write captions of")
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
                f"validation: tars in the published layout have no captions of type {self.validation_text_type}; "
                "choose another train.validation_text_type"
            )
        for further in self.validation:
            samples.check(_val(further), REFERENCE_INDEX)

    def biology_folders(self, corpus: CorpusShards, split: str) -> list[Path]:
        """A corpus's folders of a split, of those for validation the ones that exist."""
        # Only what was sharded here has a small split.
        name = self.settings.split if split == "train" and corpus.labels is not None else split
        folders = [Path(folder) / name for folder in corpus.shards]
        return folders if split == "train" else [folder for folder in folders if _is_shards(folder)]

    def replay_folders(self, split: str) -> list[Path]:
        """The replay folder of a split, where it is used and (for validation) exists."""
        if self.replay is None or (self.corpora and not self.settings.replay_batch):
            return []
        folder = self.replay / split
        return [folder] if split == "train" or _is_shards(folder) else []

    def digests(self) -> dict[str, Any]:
        """What the training depends on, by name: not where it is."""
        biology = [
            file_digests(_tables({split: self.biology_folders(corpus, split) for split in SPLITS}, corpus.labels))
            | {"weight": corpus.weight}
            for corpus in self.corpora
        ]
        replay = file_digests(_tables({split: self.replay_folders(split) for split in SPLITS}, None))
        validation = {
            further.name: file_digests(_tables({"val": [_val(further)]}, None)) for further in self.validation
        }
        return {"biology": biology, "replay": replay, "validation": validation}

    def prepare(self, folder: Path) -> None:
        """Write what all processes map into memory into the work folder."""
        for number, corpus in enumerate(self.corpora):
            if corpus.labels is not None:
                texts.write_label_names(Path(corpus.labels), _labels_folder(folder, number))

    def parts(self, split: str, folder: Path, tokenizer: Tokenizer, ranks: int) -> list["Pairs"]:
        """The parts of a batch: biology and replay, or replay alone.

        For validation those that have a val split, and the further validation sets.

        Args:
            split: `train` or `val`.
            folder: the work folder, after `prepare`.
            tokenizer: texts -> token ids.
            ranks: how many processes share a batch.
        """
        captions = [CaptionTexts(tokenizer)]
        sources: list[tuple[str, list[samples.Shard], Sequence[Texts]]] = [
            ("biology", self._biology_shards(split), [self._texts(n, folder, tokenizer) for n in self._numbers()]),
            ("replay", samples.list_shards(self.replay_folders(split), REPLAY_INDEX), captions),
        ]
        if split == "val":
            sources += [
                (further.name, samples.list_shards([_val(further)], REFERENCE_INDEX), captions)
                for further in self.validation
            ]
        found = []
        # A part's place in this list keeps its order apart from the others'.
        for place, (name, shards, words) in enumerate(sources):
            count = sum(shard.samples for shard in shards)
            wanted = self.settings.replay_batch if name == "replay" and self.corpora else self.settings.global_batch
            batch = min(wanted, count) // ranks * ranks if split == "val" else wanted
            if batch and (count or self._is_used(name)):
                seed = (self.settings.seed, place)
                found.append(self._pairs(name, shards, words, batch, seed, augment=split == "train"))
        return found

    @property
    def text_types(self) -> Sequence[str]:
        """What text types are drawn from; replay alone has captions only."""
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
        words: Sequence[Texts],
        batch: int,
        seed: tuple[int, int],
        *,
        augment: bool,
    ) -> "Pairs":
        from workflow_scripts.train.loader import Pairs

        return Pairs(
            name=name,
            reader=samples.SampleReader(
                shards, [text.columns for text in words], self.settings.shuffle_window, self.stage
            ),
            stream=self._order(name, shards, batch, seed, mixed=augment),
            texts=words,
            batch=batch,
            # A number behind the stream's own seeds, so that no augmentation draws what an epoch's order drew.
            seed=(*seed, 1, 0, 0),
            scale=self.settings.augment_scale if augment else None,
        )

    def _order(
        self, name: str, shards: Sequence[samples.Shard], batch: int, seed: tuple[int, ...], *, mixed: bool
    ) -> Order:
        """One order over all shards together; in training, where corpora have weights, one for each of them."""
        window = self.settings.shuffle_window
        weights = [corpus.weight for corpus in self.corpora if corpus.weight is not None]
        if name == "replay" or not weights or not mixed:
            return Stream([shard.samples for shard in shards], seed, window)
        counts = [[shard.samples for shard in shards if shard.corpus == number] for number in self._numbers()]
        streams = [Stream(count, (*seed, 2, number), window) for number, count in enumerate(counts)]
        return Mixture(streams, shares_of(weights, batch), (*seed, 3))


def layout_of(corpus: CorpusShards) -> Contract:
    """The contract that the indexes of a corpus keep."""
    return REFERENCE_INDEX if corpus.labels is None else SHARD_INDEX


def corpus_digest(corpus: CorpusShards) -> str:
    """The digest that names a corpus, as its cards and `corpus.json` print it."""
    labels, replay = (None if place is None else Path(place) for place in (corpus.labels, corpus.replay))
    with connect() as connection:
        return identify(connection, shards=list(map(Path, corpus.shards)), labels=labels, replay=replay).digest


def print_digest(*, corpus: Path) -> None:
    """Print the digest of a corpus, for `corpus_digest` or `digest` in a config.

    Args:
        corpus: its folder (`results/corpora/<corpus>`), or that of indexed tars (`results/shared/indexed/<name>`).

    Raises:
        InputError: no shards are there.
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


def _val(further: ValidationShards) -> Path:
    return Path(further.shards) / "val"


def _is_shards(folder: Path) -> bool:
    return (folder / samples.MANIFEST).is_file()


if __name__ == "__main__":
    run(print_digest)
