"""Parts are numbered through all generations, and downloaded one generation after the other."""

from pathlib import Path

from workflow_scripts.common.config.catalog import Generation
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.layout import Layout


def planned() -> Generations:
    source = {"reader": "inat21", "images": "x"}
    first = {
        "parts": 2,
        "sources": [{"name": "a", "keep": ["sex"], **source}, {"name": "b", "keep": ["age"], **source}],
    }
    second = {"parts": 3, "sources": [{"name": "c", **source}]}
    return Generations.planned([Generation.model_validate(entry) for entry in (first, second)])


def test_parts_are_numbered_through_all_generations() -> None:
    generations = planned()
    assert generations.parts == {"g000": ["0000", "0001"], "g001": ["0002", "0003", "0004"]}
    assert [generations.of_part(part) for part in ("0001", "0002")] == ["g000", "g001"]
    assert generations.older("g000") == [] and generations.older("g001") == ["g000"]


def test_a_part_shares_hosts_with_the_parts_of_its_own_generation() -> None:
    assert planned().share("0003") == "--parts 3 --turn 1"


def test_columns_that_a_generation_keeps_are_those_of_all_its_sources() -> None:
    assert planned().kept_columns("g000") == ["age", "sex"]
    assert planned().kept_columns("g001") == []


def test_a_corpus_that_was_made_elsewhere_has_what_is_in_its_folder(tmp_path: Path) -> None:
    corpus = Layout(str(tmp_path)).corpus("theirs")
    generations = planned()
    shards = corpus.shard_manifest.each(generation=generations.names, split=["train"])
    accounts = [
        corpus.source_account(generation=name, source=source)
        for name, sources in generations.sources.items()
        for source in sources
    ]
    for path in (*generations.catalog(corpus), *shards, *accounts):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    found = Generations.found(corpus)
    assert (found.parts, found.names) == (generations.parts, generations.names)
    assert {name: list(sources) for name, sources in found.sources.items()} == {"g000": ["a", "b"], "g001": ["c"]}
    assert found.kept_columns("g000") == []
