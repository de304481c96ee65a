"""What a run trains on: the config's own corpus, or what its mix names."""

from pathlib import Path

from workflow_scripts.common.config.root import Config
from workflow_scripts.common.config.train import CorpusShards, MixEntry
from workflow_scripts.common.files import digest
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.layout import Corpus, Layout


class Mixture:
    """The corpora of a training.

    Args:
        config: the recipe.
        layout: the folder of results.
        generations: those of the config's own corpus.
    """

    def __init__(self, config: Config, layout: Layout, generations: Generations) -> None:
        corpus = layout.corpus(config.corpus)
        self._layout = layout
        self._generations = generations
        self._folder = Path(corpus.folder)
        self._splits = [config.train.split, "val"]
        self.own = CorpusShards(
            shards=corpus.shards.each(generation=generations.names),
            labels=corpus.labels(),
            replay=_replay(corpus, config.replay is not None),
            digest=config.corpus_digest,
        )
        # Tars of any origin are indexed first: the entry of each folder that their index goes to.
        self.indexed: dict[str, MixEntry] = {_indexed(layout, entry): entry for entry in config.mix if entry.tars}
        self.corpora = [self._corpus(entry) for entry in config.mix] or [self.own]

    @property
    def has_own(self) -> bool:
        """Whether the config's own corpus is among them."""
        return any(corpus.labels == self.own.labels for corpus in self.corpora)

    @property
    def generations(self) -> list[str]:
        """The generations of the config's own corpus that are trained on whole, if it is the only corpus; else none."""
        names = self._generations.names[: len(self.corpora[0].shards)]
        own = self.own.model_copy(update={"shards": self.own.shards[: len(names)]})
        return names if self.corpora == [own] and self._splits[0] == "train" else []

    def tars(self, indexed: str, split: str) -> str | None:
        """The tars of one split, as a glob, that are indexed in the folder of this name."""
        entry = next(entry for folder, entry in self.indexed.items() if Path(folder).name == indexed)
        return entry.tars if split == "train" else entry.val_tars

    def to_json(self) -> list[str]:
        """The corpora as a training's command line takes them."""
        return [corpus.to_json() for corpus in self.corpora]

    def tables(self) -> list[str]:
        """The tables that a training waits for; of a corpus that was made elsewhere, those that are there."""
        waited = []
        for corpus in self.corpora:
            entry = self.indexed.get(corpus.shards[0])
            splits = self._splits if entry is None or entry.val_tars else self._splits[:1]
            found = [
                f"{shards}/{split}/{table}.parquet"
                for shards in corpus.shards
                for split in splits
                for table in ("manifest", "index")
            ]
            found += [corpus.labels] if corpus.labels else []
            if corpus.digest and corpus.replay:
                found += [f"{corpus.replay}/{split}/manifest.parquet" for split in ("train", "val")]
            made = entry is not None or corpus.labels == self.own.labels
            waited += [path for path in found if made or Path(path).exists()]
        return waited

    def _corpus(self, entry: MixEntry) -> CorpusShards:
        """The shards of one entry; a corpus that was made elsewhere has the generations that are there."""
        if entry.corpus is None:
            return CorpusShards(shards=[_indexed(self._layout, entry)], weight=entry.weight, digest=entry.digest)
        corpus = self._layout.corpus(entry.corpus)
        if Path(corpus.folder) == self._folder:
            return self.own.model_copy(update={"weight": entry.weight, "digest": entry.digest})
        found = [str(path) for path in corpus.shards.found()]
        return CorpusShards(
            shards=found or [corpus.shards(generation=self._generations.names[0])],
            labels=corpus.labels(),
            replay=_replay(corpus),
            weight=entry.weight,
            digest=entry.digest,
        )


def _replay(corpus: Corpus, is_made: bool = False) -> str | None:
    """A corpus's replay shards, where it has any or a rule makes them."""
    return corpus.replay() if is_made or Path(corpus.replay_manifest(split="train")).exists() else None


def _indexed(layout: Layout, entry: MixEntry) -> str:
    return layout.shared.indexed(indexed=digest([entry.tars, entry.val_tars])[:8])
