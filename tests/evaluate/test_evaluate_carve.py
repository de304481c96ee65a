"""A carved benchmark draws species with enough images, and as many images of each."""

from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.config.evaluate import CarvedBenchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, CATALOG, GATHERED_DOWNLOADS, LABELS
from workflow_scripts.evaluate.carved.index import carve

# Images by species; below, one image occurs twice and one is labelled as two species.
IMAGES = {"pica": 9, "corax": 8, "cornix": 7, "corone": 6, "frugilegus": 3}


class Corpus:
    """Tables of one generation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        labels: list[dict[str, Any]] = []
        self.catalog: list[dict[str, Any]] = []
        self.downloads: list[dict[str, Any]] = []
        for species, count in IMAGES.items():
            # Two providers write the same species; the one with more images names it.
            for turn, provider in enumerate(("a", "b")):
                named = {
                    "kingdom": "Animalia",
                    "genus": "Corvus",
                    "species": species,
                    "common_name": f"{species} {turn}",
                }
                resolved = {"match_type": "exact", "strategy": "exact", "confidence": 1.0, "resolved_rank": "species"}
                labels.append({"label_id": f"{species}-{provider}", "images": 5 - turn, **named, **resolved})
            for number in range(count):
                self.add(f"{species}-{number}", f"{species}-{'ab'[number % 2]}", f"{species}{number}")
        write_rows(labels, LABELS, folder / "labels.parquet")

    def add(self, uuid: str, label_id: str, md5: str, status: str = "ok") -> None:
        place = {"tar": "0.tar", "offset": 512 * len(self.catalog), "size": 100} if status == "ok" else {}
        self.catalog.append(
            {"uuid": uuid, "label_id": label_id, "data_source": "s", "source_url": "u", "host": "h"}
            | {"generation": 0, "part": 3}
        )
        self.downloads.append(
            {"uuid": uuid, "status": status, "attempts": 1, "md5": md5 if status == "ok" else None, "part": 3} | place
        )

    def carve(self, **settings: Any) -> list[dict[str, Any]]:
        write_rows(self.catalog, CATALOG, self.folder / "catalog.parquet")
        write_rows(self.downloads, GATHERED_DOWNLOADS, self.folder / "downloads.parquet")
        out = self.folder / "images.parquet"
        carve(
            name="mine",
            settings=CarvedBenchmark.model_validate({"layout": "carved", "shots": [1], **settings}),
            catalog=(self.folder / "catalog.parquet",),
            downloads=self.folder / "downloads.parquet",
            parts=Path("results/corpora/c/download"),
            labels=self.folder / "labels.parquet",
            out=out,
            account=self.folder / "account.json",
        )
        return read_rows(out, BENCHMARK_IMAGES).to_pylist()


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


def test_a_carved_benchmark_has_the_configured_species_and_images(corpus: Corpus) -> None:
    rows = corpus.carve(species=3, images=5)
    assert [row["position"] for row in rows] == list(range(15))
    assert {row["class"] for row in rows} < {f"Corvus {species}" for species, count in IMAGES.items() if count >= 5}
    assert sorted({row["class"] for row in rows}) == list(dict.fromkeys(row["class"] for row in rows))
    for row in rows:
        species = row["class"].split()[1]
        assert row["taxon_species"] == species
        assert row["common_name"] == f"{species} 0", "one name a species, by the label with the most images"
        assert row["path"] == "results/corpora/c/download/part-0003/0.tar"
        place = next(one for one in corpus.downloads if one["uuid"] == row["image"])
        assert (row["offset"], row["size"], row["md5"]) == (place["offset"], place["size"], place["md5"])


def test_the_seed_draws_and_the_order_of_rows_does_not(corpus: Corpus) -> None:
    one = corpus.carve(species=2, images=5)
    corpus.catalog.reverse()
    corpus.downloads.reverse()
    assert corpus.carve(species=2, images=5) == one
    drawn = {tuple(row["class"] for row in corpus.carve(species=2, images=5, seed=seed)) for seed in range(8)}
    assert len(drawn) > 1


def test_copies_failures_and_pictures_of_two_species_are_left_out(corpus: Corpus, tmp_path: Path) -> None:
    assert len(corpus.carve(species=1, images=9)) == 9
    corpus.downloads[0] |= {"status": "failed", "md5": None, "tar": None, "offset": None, "size": None}
    with pytest.raises(InputError, match=r"benchmarks\.mine: .*\b0 species.*\b9 images.*\b1\b"):
        corpus.carve(species=1, images=9)
    corpus.add("pica-again", "pica-a", "pica1")
    corpus.add("corax-of-pica", "corax-a", "pica2")
    with pytest.raises(InputError, match=r"0 species of those that .* have 8 images"):
        corpus.carve(species=2, images=8, among=str(written(tmp_path, "Corvus pica")))
    assert {row["class"] for row in corpus.carve(species=1, images=8)} == {"Corvus corax"}


def test_species_are_drawn_from_a_list(corpus: Corpus, tmp_path: Path) -> None:
    rows = corpus.carve(species=2, images=3, among=str(written(tmp_path, "corvus FRUGILEGUS\n\nCorvus  corone")))
    assert {row["taxon_species"] for row in rows} == {"frugilegus", "corone"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("red_list.txt", "\ufeffCorvus frugilegus Linnaeus, 1758\r\n# vulnerable\r\nCorvus corone cornix\r\n".encode()),
        ("red_list.csv", "scientificName;Status\nCorvus frugilegus;LC\nCorvus corone;\xe4\n".encode("latin-1")),
    ],
)
def test_a_list_of_species_has_authors_marks_or_columns(corpus: Corpus, tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    rows = corpus.carve(species=2, images=3, among=str(tmp_path / name))
    assert {row["taxon_species"] for row in rows} == {"frugilegus", "corone"}
    with pytest.raises(InputError, match=f"2 species of those that .*{name} lists have 3 images"):
        corpus.carve(species=3, images=3, among=str(tmp_path / name))


def test_a_name_that_is_not_scientific_is_drawn_as_written(corpus: Corpus, tmp_path: Path) -> None:
    row: dict[str, Any] = {"label_id": "sparrow", "images": 1, "match_type": "as_given", "strategy": "as_given"}
    row |= {
        "confidence": 1.0,
        "resolved_rank": "species",
        "species": "House Sparrow",
        "scientific_name": "House Sparrow",
    }
    labels = read_rows(tmp_path / "labels.parquet", LABELS).to_pylist()
    write_rows([*labels, row], LABELS, tmp_path / "labels.parquet")
    for image in ("one", "two"):
        corpus.add(image, "sparrow", image)
    found, _ = corpus.carve(species=1, images=2, among=str(written(tmp_path, "house sparrow")))
    assert (found["class"], found["taxon_genus"], found["taxon_species"]) == ("House Sparrow", None, "House Sparrow")


def written(folder: Path, names: str) -> Path:
    path = folder / "among.txt"
    path.write_text(names)
    return path
