"""Paths with wildcards, with names, and as found on disk."""

from pathlib import Path

import pytest

from workflow_scripts.common.layout import Corpus, Files, Folder, Layout, Run, Shared, World


def test_a_path_keeps_the_names_that_are_not_given_as_wildcards() -> None:
    corpus = Layout("results").corpus("world")
    assert corpus.verdicts() == "results/corpora/world/curate/{generation}/verdicts.parquet"
    assert corpus.catalog_part(part="0003") == "results/corpora/world/catalog/{generation}/part-0003.parquet"
    with pytest.raises(TypeError, match="has no shard"):
        corpus.verdicts(shard=1)


def test_paths_of_many_names_vary_the_last_name_fastest() -> None:
    run = Layout("results").run("r")
    assert run.scores.each(model=["a", "b"], benchmark=["x", "y"]) == [
        f"results/runs/r/scores/{name}.json" for name in ("a/x", "a/y", "b/x", "b/y")
    ]


def test_files_on_disk_are_found_in_their_order_whatever_the_folder_is_called(tmp_path: Path) -> None:
    corpus = Layout(f"{tmp_path}/a [b]*{{c}}").corpus("world")
    wanted = [corpus.catalog_part(generation=name, part=f"{part:04d}") for name in ("g000", "g001") for part in (0, 1)]
    for name in (*reversed(wanted), corpus.gathered_account(generation="g000"), corpus.labels()):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert list(map(str, corpus.catalog_part.found())) == wanted
    assert list(map(str, corpus.catalog_part.found(generation="g001"))) == wanted[2:]
    assert corpus.gathered.found() == []
    assert [one.folder for one in Layout(f"{tmp_path}/a [b]*{{c}}").corpora()] == [corpus.folder]


def test_a_corpus_that_was_made_elsewhere_is_its_folder() -> None:
    assert Layout("results").corpus("/data/theirs/").labels() == "/data/theirs/taxonomy/labels.parquet"


@pytest.mark.parametrize("kind", [Corpus, Run, Shared, World])
def test_no_two_kinds_of_files_have_one_path(kind: type[Folder]) -> None:
    place = kind("x")
    paths = [files() for name in dir(kind) if isinstance(files := getattr(place, name), Files)]
    assert len(paths) > 5
    assert len(set(paths)) == len(paths)
