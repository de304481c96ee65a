"""The papers' label files are fetched from the published repository; the user provides only the images."""

import os
from pathlib import Path

import pytest

from workflow_scripts.common.config.evaluate import FetchedFile
from workflow_scripts.common.config.root import Config, load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.files import sha256_file

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = "https://raw.githubusercontent.com/Imageomics/bioclip-2/49e1cf50e0341ed41d13353d23cbf963bdb1293a/"
META_ALBUM = {
    "plankton": "PLK_Mini",
    "insects": "INS_Mini",
    "insects2": "INS_2_Mini",
    "plantnet": "PLT_NET_Mini",
    "fungi": "FNG_Mini",
    "plantvillage": "PLT_VIL_Mini",
    "med_leaf": "MED_LF_Mini",
    "plantdoc_meta": "PLT_DOC_Mini",
}
PLACES = {
    "nabirds": "data/annotation/nabirds/metadata.csv",
    "rare_species": "data/annotation/rare_species/metadata.csv",
    **{name: f"data/annotation/meta-album/{place}/metadata.csv" for name, place in META_ALBUM.items()},
    "herbarium19": "src/evaluation/herbarium_19_class_splits.pkl",
}
# The copies among the real files.
COPIES = {name: f"{place}.csv" for name, place in META_ALBUM.items()} | {
    "insects2": "insects2.csv",
    "fungi": "fungi.csv",
    "rare_species": "rare_species.csv",
    "herbarium19": "herbarium_19_class_splits.pkl",
}


def recipe(name: str) -> Config:
    path = f"config/{name}.yaml"
    return load_config(read_yaml(ROOT / path), path, SiteSettings())


def label_file(config: Config, benchmark: str) -> FetchedFile:
    """The one label file that a benchmark fetches."""
    (entry,) = [one for one in config.benchmarks[benchmark].fetch if isinstance(one, FetchedFile)]
    return entry


@pytest.mark.parametrize("name", ["bioclip", "bioclip2", "bioclip25"])
def test_label_files_are_fetched_and_a_person_brings_images_alone(name: str) -> None:
    config = recipe(name)
    for benchmark, place in PLACES.items():
        entry = label_file(config, benchmark)
        assert (entry.url, entry.unpack) == (PUBLISHED + place, False)
        assert entry.sha256
        spec = config.benchmarks[benchmark]
        read = spec.inputs["classes" if benchmark == "herbarium19" else "labels"]
        assert read.endswith(f"/{benchmark}-{spec.fetch_identity}/files/{Path(place).name}")
    given = {key.removeprefix("benchmarks.") for key in config.given_files() if key.startswith("benchmarks.")}
    assert {f"{benchmark}.images" for benchmark in ("nabirds", *META_ALBUM)} <= given
    assert {key for key in given if key.endswith(".labels")} == {"birds525.labels"}
    assert not [key for key in given if key.startswith("rare_species.")]
    assert [key for key in given if key.startswith("herbarium19.")] == ["herbarium19.folder (small-train)"]


@pytest.mark.parametrize("benchmark", COPIES)
def test_pins_are_those_of_the_published_files(benchmark: str) -> None:
    folder = os.environ.get("TREEOFLIFE_REAL_DATA")
    copy = f"labels/{COPIES[benchmark]}"
    if not folder or not (Path(folder) / copy).exists():
        pytest.skip(f"left out: TREEOFLIFE_REAL_DATA names no folder with {copy}")
    assert label_file(recipe("bioclip2"), benchmark).sha256 == sha256_file(Path(folder) / copy)
