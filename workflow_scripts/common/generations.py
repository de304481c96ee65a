"""A corpus's generations: the sources and the download parts of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_scripts.common.config.catalog import Generation, Source
from workflow_scripts.common.layout import Corpus


@dataclass(frozen=True)
class Generations:
    """Parts and sources by generation (`g000`), oldest first.

    Attributes:
        parts: numbers of the generation's parts, as in file names; counted through all generations.
        sources: the generation's sources, by name; None for a source of a corpus that was made elsewhere.
    """

    parts: Mapping[str, Sequence[str]]
    sources: Mapping[str, Mapping[str, Source | None]]

    @classmethod
    def planned(cls, generations: Iterable[Generation]) -> "Generations":
        """The generations of a config."""
        parts: dict[str, Sequence[str]] = {}
        sources: dict[str, Mapping[str, Source | None]] = {}
        first = 0
        for number, generation in enumerate(generations):
            name = f"g{number:03d}"
            parts[name] = number_parts(generation.parts, first)
            sources[name] = {source.name: source for source in generation.sources}
            first += generation.parts
        return cls(parts, sources)

    @classmethod
    def found(cls, corpus: Corpus) -> "Generations":
        """The generations that have shards in a corpus that was made elsewhere."""
        names = [path.name for path in corpus.shards.found()]
        parts = {name: [path.stem[-4:] for path in corpus.catalog_part.found(generation=name)] for name in names}
        accounts = {name: corpus.source_account.found(generation=name) for name in names}
        sources = {
            name: {path.name.removesuffix(".account.json"): None for path in found} for name, found in accounts.items()
        }
        return cls(parts, sources)

    @property
    def names(self) -> list[str]:
        """Names of the generations, oldest first."""
        return list(self.parts)

    def source(self, wildcards: Any) -> Source | None:
        """The source given by a rule's wildcards `generation` and `source`."""
        return self.sources[wildcards.generation][wildcards.source]

    def older(self, generation: str) -> list[str]:
        """The generations before this one."""
        return self.names[: self.names.index(generation)]

    def of_part(self, part: str) -> str:
        """The generation that a part belongs to."""
        return next(name for name, numbers in self.parts.items() if part in numbers)

    def share(self, part: str) -> str:
        """Command-line options with the number of parts downloaded in parallel and this part's index (from 0)."""
        return share(self.parts[self.of_part(part)], part)

    def catalog(self, corpus: Corpus, generations: Iterable[str] | None = None) -> list[str]:
        """Paths of the catalog parts of some or all generations."""
        names = self.names if generations is None else generations
        return [corpus.catalog_part(generation=name, part=part) for name in names for part in self.parts[name]]

    def downloads(self, corpus: Corpus, generations: Iterable[str] | None = None) -> list[str]:
        """Paths of the download manifests of some or all generations."""
        names = self.names if generations is None else generations
        return corpus.download_part.each(part=[part for name in names for part in self.parts[name]])

    def kept_columns(self, generation: str) -> list[str]:
        """Extra columns (`keep`) of a generation's sources, which its catalog and shard index carry."""
        return sorted({name for source in self.sources[generation].values() if source for name in source.keep})


def number_parts(count: int, first: int = 0) -> list[str]:
    """Numbers of `count` parts, as in file names."""
    return [f"{number:04d}" for number in range(first, first + count)]


def number_groups(count: int) -> list[str]:
    """Numbers of `count` groups (jobs that share parts or shards), as in file names."""
    return [f"{number:03d}" for number in range(count)]


def share(parts: Sequence[str], part: str) -> str:
    """Command-line options with the number of parts downloaded in parallel and this part's index (from 0)."""
    return f"--parts {len(parts)} --turn {parts.index(part)}"
