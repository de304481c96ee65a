"""Every format that comes from outside, damaged at random: a reader takes it or says in one line what is wrong.

The files are the embedded world's, in the sources' true formats; hypothesis flips, cuts, doubles and overwrites their
bytes. Anything but success or an InputError of one line fails, and so does a crash. The damages are the same each time;
`make fuzz` draws other ones, and many.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow_scripts.catalog.gbif import read_gbif
from workflow_scripts.catalog.table import read_table
from workflow_scripts.catalog.treeoflife200m import read_treeoflife200m
from workflow_scripts.common import images, tars
from workflow_scripts.common.config.catalog import Gbif, Table, TreeOfLife200M
from workflow_scripts.common.config.evaluate import CsvBenchmark
from workflow_scripts.common.config.replay import ReplaySettings
from workflow_scripts.common.config.root import load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.config.world import WorldSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.csv.index import index_csv
from workflow_scripts.replay.select import select
from workflow_scripts.taxonomy.backbone import build_backbone
from workflow_scripts.world.make import make_world
from workflow_scripts.world.table import SHIPPED

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
FEW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(FEW, max_examples=6 * EXAMPLES)
WORDS = [b"\x00", b"\xff\xfe", b'"', b"\t", b"\n", b"\r\n", b",", "é".encode("latin-1"), b"-1", b"9" * 400, b"PAR1"]


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A few edits, each at a place that is a share of the file's length."""
    edits = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["overwrite", "insert", "cut", "double", "end"]),
                st.floats(0, 1),
                st.one_of(st.sampled_from(WORDS), st.binary(min_size=1, max_size=8)),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def damage(data: bytes) -> bytes:
        for kind, place, word in edits:
            at = int(place * len(data))
            data = {
                "overwrite": data[:at] + word + data[at + len(word) :],
                "insert": data[:at] + word + data[at:],
                "cut": data[:at] + data[at + len(word) * 16 :],
                "double": data[:at] + data[max(at - 200, 0) :],
                "end": data[:at],
            }[kind]
        return data

    return damage


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of some twenty species."""
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    folder = tmp_path_factory.mktemp("fuzz")
    table = folder / "species.csv"
    table.write_text("\n".join([lines[0], *[line for row, line in enumerate(lines[1:]) if row // 2 % 10 == 0]]) + "\n")
    few = WorldSettings(images_per_species=3, unseen_species=2, benchmark_images_per_species=6, replay_pairs=50)
    make_world(settings=few, out=folder / "world", species=table, jobs=2)
    return folder / "world"


def answers(step: Callable[[], object]) -> None:
    """Run a step: it does its work, or names what is wrong in one line."""
    try:
        step()
    except InputError as error:
        assert str(error)
        assert "\n" not in str(error)


def damaged(source: Path, folder: Path, damage: Callable[[bytes], bytes]) -> Path:
    target = folder / source.name
    target.write_bytes(damage(source.read_bytes()))
    return target


@pytest.mark.parametrize("name", ["catalog", "provenance"])
@FEW
@given(damage=damages())
def test_parquet_catalogue(world: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    files = {which: world / f"{which}.parquet" for which in ("catalog", "provenance")}
    files[name] = damaged(files[name], tmp_path, damage)
    source = TreeOfLife200M(
        name="tol", reader="treeoflife200m", catalog=str(files["catalog"]), provenance=str(files["provenance"])
    )
    answers(
        lambda: read_treeoflife200m(
            **files,
            settings=source,
            out=tmp_path / "out.parquet",
            account=tmp_path / "account.json",
            memory_mb=512,
            threads=1,
        )
    )


@FEW
@given(damage=damages())
def test_table_of_images(world: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    table = damaged(world / "table.csv", tmp_path, damage)
    source = Table(name="mine", reader="table", table=str(table), images=str(world / "table_images"))
    answers(
        lambda: read_table(
            table=table,
            settings=source,
            out=tmp_path / "out.parquet",
            account=tmp_path / "account.json",
            memory_mb=512,
            threads=1,
        )
    )


@pytest.mark.parametrize("reader", ["dwca", "coldp"])
@pytest.mark.parametrize("file", ["taxa", "names"])
@FEW
@given(damage=damages())
def test_backbone(world: Path, tmp_path: Path, reader: str, file: str, damage: Callable[[bytes], bytes]) -> None:
    archive = tmp_path / "archive"
    shutil.rmtree(archive, ignore_errors=True)
    archive.mkdir()
    taxa = (world / "backbone" / "Taxon.tsv").read_text()
    names = (world / "backbone" / "VernacularName.tsv").read_text()
    if reader == "coldp":
        header, *rows = taxa.splitlines()
        as_coldp = {
            "taxonID": "ID",
            "parentNameUsageID": "parentID",
            "acceptedNameUsageID": "parentID2",
            "taxonRank": "rank",
            "taxonomicStatus": "status",
            "scientificNameAuthorship": "authorship",
        }
        taxa = "\n".join(["\t".join(as_coldp.get(column, column) for column in header.split("\t")), *rows])
        names = names.replace("vernacularName", "name", 1)
    contents = {"taxa": taxa.encode(), "names": names.encode()}
    contents[file] = damage(contents[file])
    (archive / ("Taxon.tsv" if reader == "dwca" else "NameUsage.tsv")).write_bytes(contents["taxa"])
    (archive / "VernacularName.tsv").write_bytes(contents["names"])
    answers(
        lambda: build_backbone(
            name="b",
            archive=archive,
            reader=reader,  # type: ignore[arg-type]
            out=tmp_path / "backbone.duckdb",
            summary=tmp_path / "summary.json",
            memory_mb=512,
            threads=1,
        )
    )


OCCURRENCE = "gbifID\toccurrenceID\tbasisOfRecord\tkingdom\tspecies\tscientificName\tdatasetKey\n" + "".join(
    f"{row}\to{row}\tHUMAN_OBSERVATION\tAnimalia\tPica pica\tPica pica (Linnaeus, 1758)\tk\n" for row in range(20)
)
MULTIMEDIA = "gbifID\ttype\tformat\tidentifier\tlicense\trightsHolder\n" + "".join(
    f"{row}\tStillImage\timage/jpeg\thttps://host.org/{row}.jpg\thttp://creativecommons.org/licenses/by/4.0/\tA. B.\n"
    for row in range(20)
)


@pytest.mark.parametrize("file", ["occurrence.txt", "multimedia.txt"])
@FEW
@given(damage=damages())
def test_gbif_archive(tmp_path: Path, file: str, damage: Callable[[bytes], bytes]) -> None:
    contents = {"occurrence.txt": OCCURRENCE.encode(), "multimedia.txt": MULTIMEDIA.encode()}
    contents[file] = damage(contents[file])
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    answers(
        lambda: read_gbif(
            archive=tmp_path,
            settings=Gbif(name="gbif", reader="gbif", archive=str(tmp_path)),
            out=tmp_path / "out.parquet",
            account=tmp_path / "account.json",
            memory_mb=512,
            threads=1,
        )
    )


@FEW
@given(damage=damages())
def test_replay_metadata(world: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    metadata = damaged(world / "replay.parquet", tmp_path, damage)
    answers(
        lambda: select(
            metadata=(metadata,),
            settings=ReplaySettings(metadata=[str(metadata)], min_similarity=0.28),
            out_dir=tmp_path / "selection",
            memory_mb=512,
        )
    )


@FEW
@given(damage=damages())
def test_benchmark_labels(world: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    folder = world / "benchmarks/insects"
    labels = damaged(folder / "labels.csv", tmp_path, damage)
    spec = CsvBenchmark(layout="csv", labels=str(labels), images=str(folder / "images"), text_type="asis")
    answers(
        lambda: index_csv(
            name="insects",
            settings=spec,
            out=tmp_path / "images.parquet",
            account=tmp_path / "account.json",
            jobs=1,
        )
    )


@MANY
@given(damage=damages())
def test_image_headers(world: Path, damage: Callable[[bytes], bytes]) -> None:
    picture = next((world / "table_images").rglob("*.jpg"))
    data = damage(picture.read_bytes())
    for look in (lambda: images.read_size(data, 10**7), lambda: images.decode(data, 10**7)):
        try:
            look()
        except images.UnreadableImage as error:
            assert error.fault


@MANY
@given(damage=damages())
def test_tars(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    whole = tmp_path / "whole.tar"
    if not whole.exists():
        tars.write_tar(whole, [(f"{number:08d}", {"jpg": bytes(600)}) for number in range(6)])
    torn = damaged(whole, tmp_path / "..", damage)

    def read() -> None:
        with torn.open("rb") as file:
            for place in tars.member_places(torn).values():
                tars.read_at(file, place.offset, place.size)

    answers(read)


CONFIG_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@MANY
@given(data=st.data(), value=CONFIG_VALUES)
def test_a_config_value_of_any_kind(data: st.DataObject, value: object) -> None:
    config = read_yaml(ROOT / "config/config.yaml")
    place: dict[str, object] = config
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        inner = place[key]
        if not isinstance(inner, dict) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = value
    answers(lambda: load_config(config, "config.yaml", SiteSettings()))


@MANY
@given(damage=damages())
def test_a_config_file(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = damaged(ROOT / "config/config.yaml", tmp_path, damage)
    answers(lambda: load_config(read_yaml(file), "config.yaml", SiteSettings()))


def test_an_untouched_world_is_taken(world: Path) -> None:
    """What the damages start from is right, so that an InputError says something."""
    picture = next((world / "table_images").rglob("*.jpg")).read_bytes()
    assert images.decode(picture, 10**7).shape[2] == 3
