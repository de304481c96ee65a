"""The corpora that a run trains on (the config's own, or `mix`) and its validation sets."""

from pathlib import Path

from workflow_scripts.common.config.root import Config
from workflow_scripts.common.config.train import CorpusShards, MixEntry, ValidationShards
from workflow_scripts.common.files import digest
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.layout import Corpus, Layout


class Mixture:
    """The corpora of a training.

    Args:
        config: the recipe.
        layout: the results folder.
        generations: the generations of the config's own corpus.
    """

    def __init__(self, config: Config, layout: Layout, generations: Generations) -> None:
        corpus = layout.corpus(config.corpus)
        self._layout = layout
        self._generations = generations
        self._folder = Path(corpus.folder)
        self._splits = [config.train.split, "val"]
        self._is_made = not config.corpus_is_given
        self.own = CorpusShards(
            shards=corpus.shards.each(generation=generations.names),
            labels=corpus.labels(),
            replay=_replay(corpus, config.replay is not None),
            digest=config.corpus_digest,
        )
        self.validation = [
            ValidationShards(name=name, shards=_indexed(layout, None, tars)) for name, tars in config.validation.items()
        ]
        # External tars are indexed first: globs of tars by split, by the folder of their index.
        self.indexed: dict[str, dict[str, str]] = {
            _indexed(layout, train, val): {split: tars for split, tars in (("train", train), ("val", val)) if tars}
            for train, val in [
                *((entry.tars, entry.val_tars) for entry in config.mix if entry.tars),
                *((None, tars) for tars in config.validation.values()),
            ]
        }
        self.corpora = [self._corpus(entry) for entry in config.mix] or [self.own]

    @property
    def has_own(self) -> bool:
        """Whether the config's own corpus is among them."""
        return any(corpus.labels == self.own.labels for corpus in self.corpora)

    @property
    def own_generations(self) -> list[str]:
        """The config's own generations that are trained on. The corpus may have grown since."""
        trained = next((corpus for corpus in self.corpora if corpus.labels == self.own.labels), None)
        return self._generations.names[: len(trained.shards)] if trained else []

    @property
    def is_behind(self) -> bool:
        """Whether the config's own corpus has generations that a finished training has not seen."""
        return self.has_own and self.own_generations != self._generations.names

    @property
    def generations(self) -> list[str]:
        """The config's own generations, if the complete own corpus is the only training data; else none."""
        names = self.own_generations
        own = self.own.model_copy(update={"shards": self.own.shards[: len(names)]})
        return names if self.corpora == [own] and self._splits[0] == "train" else []

    def tars(self, indexed: str, split: str) -> str:
        """Glob of the tars of one split that are indexed in the folder of this name."""
        return next(tars for folder, tars in self.indexed.items() if Path(folder).name == indexed)[split]

    def to_json(self) -> list[str]:
        """The corpora as JSON, for the command line of a training."""
        return [corpus.to_json() for corpus in self.corpora]

    def tables(self) -> list[str]:
        """The tables that a training needs; for corpora that were made elsewhere, those that exist."""
        needed = [
            f"{further.shards}/val/{table}.parquet" for further in self.validation for table in ("manifest", "index")
        ]
        for corpus in self.corpora:
            indexed = self.indexed.get(corpus.shards[0])
            splits = self._splits if indexed is None else list(indexed)
            found = [
                f"{shards}/{split}/{table}.parquet"
                for shards in corpus.shards
                for split in splits
                for table in ("manifest", "index")
            ]
            found += [corpus.labels] if corpus.labels else []
            if corpus.digest and corpus.replay:
                found += [f"{corpus.replay}/{split}/manifest.parquet" for split in ("train", "val")]
            made = indexed is not None or corpus.labels == self.own.labels
            needed += [path for path in found if made or Path(path).exists()]
        return needed

    def attributions(self) -> list[str]:
        """Attribution tables of the generations that are trained on; for corpora made elsewhere, those that exist."""
        found = []
        for corpus in self.corpora:
            made = self._is_made and corpus.labels == self.own.labels
            # Tars in the published layout have no attribution.
            for shards in map(Path, corpus.shards if corpus.labels else []):
                table = Corpus(str(shards.parents[1])).attribution(generation=shards.name)
                found += [table] if made or Path(table).exists() else []
        return found

    def indexes(self) -> list[str]:
        """Index tables of the images that are trained on and validated with."""
        folders = [
            f"{shards}/{split}"
            for corpus in self.corpora
            if corpus.labels
            for shards in corpus.shards
            for split in self._splits
        ]
        return [f"{folder}/index.parquet" for folder in folders]

    def _corpus(self, entry: MixEntry) -> CorpusShards:
        """The shards of one entry; for a corpus that was made elsewhere, all existing generations."""
        if entry.corpus is None:
            shards = [_indexed(self._layout, entry.tars, entry.val_tars)]
            return CorpusShards(shards=shards, weight=entry.weight, digest=entry.digest)
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
    """Folder of a corpus's replay shards, if they exist or a rule makes them; else None."""
    return corpus.replay() if is_made or Path(corpus.replay_manifest(split="train")).exists() else None


def _indexed(layout: Layout, train: str | None, val: str | None) -> str:
    return layout.shared.indexed(indexed=digest([train, val])[:8])
