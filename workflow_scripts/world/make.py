"""Draw the embedded world: a miniature of all external data of a real run.

In: settings and a table of real species. Out: metadata with the columns of TreeOfLife-200M, a small table of local
images, a Darwin Core backbone, a LAION-like replay set, benchmarks in the papers' layout, the images behind them, and
`world.json`, which says what `serve` answers. The same settings and table give the same bytes.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.world import WorldSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole, write_json
from workflow_scripts.contracts import RANKS
from workflow_scripts.world.backbone import write_backbone
from workflow_scripts.world.catalogue import SUPPORT, TABLE_FOLDER, Row, body, plan_catalogue, plant, support_pictures
from workflow_scripts.world.looks import Look, looks_of
from workflow_scripts.world.miniatures import folders, plan_miniatures
from workflow_scripts.world.pictures import Picture, draw_pictures, put
from workflow_scripts.world.replay import plan_replay
from workflow_scripts.world.site import empty_site
from workflow_scripts.world.table import HOMONYMS, SHIPPED, Species, choose_unseen, read_species

MARKER = ".world"
BENCHMARKS = ("rare_species", "seen_species", "insects")


def make_world(*, settings: WorldSettings, out: Path, species: Path | None = None, jobs: int = 1) -> None:
    """Draw the embedded world.

    Args:
        settings: the config's `world`.
        out: the world's folder, of its own.
        species: a table of species in place of the settings' and the shipped one.
        jobs: processes that draw; how many does not change a byte.

    Raises:
        InputError: the table is wrong or too small, or the folder holds something else.
    """
    given = species or (Path(settings.species) if settings.species else SHIPPED)
    everything = read_species(given)
    unseen = choose_unseen(everything, settings.unseen_species, settings.seed)
    look_of = dict(zip(everything, looks_of(everything), strict=True))
    seen = [one for one in everything if one not in unseen]
    _claim(out)

    site = empty_site(settings.port)
    catalogue = plan_catalogue(
        seen,
        [look_of[one] for one in seen],
        site_=site,
        seed=settings.seed,
        images_per_species=settings.images_per_species,
        side=settings.image_size,
        troubles=settings.troubles,
    )
    replay = plan_replay(site, seed=settings.seed, pairs=settings.replay_pairs, troubles=settings.troubles)
    benchmarks = {
        "rare_species": [one for one in everything if one in unseen],
        "seen_species": seen,
        "insects": _insects(seen),
    }
    miniatures = plan_miniatures(seen, look_of, settings.image_size)
    pictures = [*catalogue.pictures, *replay.pictures, *miniatures.pictures]
    planted: list[Row] = []
    if settings.planted:
        looks = [look_of[one] for one in seen]
        drawn = len(catalogue.pictures)
        planted = plant(catalogue, seen, looks, seed=settings.seed, count=settings.planted, side=settings.image_size)
        pictures += [*catalogue.pictures[drawn:], *support_pictures(looks, settings.image_size)]
    for name, classes in benchmarks.items():
        pictures += _benchmark_pictures(name, classes, look_of, settings)
    draw_pictures(pictures, out=out, seed=settings.seed, jobs=jobs)
    for file, (kind, source) in catalogue.bodies.items():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        put(out / file, body(kind, (out / source).read_bytes() if source else b"", settings.image_size))
    for file, content in miniatures.files.items():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        put(out / file, content)
    images = {*(picture.path for picture in pictures), *catalogue.bodies, *miniatures.files}
    _remove_leftovers(out, images, folders(miniatures))

    write_backbone(out / "backbone", [*everything, *_homonyms(everything)])
    for name, classes in benchmarks.items():
        _write_labels(out, name, classes, settings)
    _write_parquet(out / "catalog.parquet", sorted(catalogue.records, key=lambda row: str(row["uuid"])))
    _write_parquet(out / "provenance.parquet", sorted(catalogue.provenance, key=lambda row: str(row["uuid"])))
    _write_parquet(out / "replay.parquet", replay.rows)
    _write_csv(out / "table.csv", list(catalogue.table[0]), (row.values() for row in catalogue.table))
    if planted:
        _write_csv(out / "planted.csv", list(planted[0]), (row.values() for row in planted))
    else:
        (out / "planted.csv").unlink(missing_ok=True)
    write_json(out / "world.json", site.to_json())


def _claim(out: Path) -> None:
    """Take the folder; it must be empty or a world's, for what an earlier world left there is removed."""
    if not (out / MARKER).exists():
        if out.is_dir() and (other := next((path for path in out.rglob("*") if path.is_file()), None)):
            raise InputError(f"{out}: holds {other.name}, which is no world's; give the world a folder of its own")
        out.mkdir(parents=True, exist_ok=True)
        put(out / MARKER, b"")
    (out / "world.json").unlink(missing_ok=True)


def _remove_leftovers(out: Path, kept: set[str], whole_folders: set[str]) -> None:
    pictured = [
        out / "site",
        out / TABLE_FOLDER,
        out / SUPPORT,
        *(out / "benchmarks" / name / "images" for name in BENCHMARKS),
    ]
    for folder in [*pictured, *(out / name for name in sorted(whole_folders))]:
        for path in folder.rglob("*"):
            if path.is_file() and path.relative_to(out).as_posix() not in kept:
                path.unlink(missing_ok=True)


def _insects(seen: Sequence[Species]) -> list[Species]:
    """The insects that training sees; in a table with hardly any, its largest class stands in for them."""
    classes = [one.ranks[2] for one in seen]
    chosen = "Insecta" if classes.count("Insecta") > 1 else max(sorted(set(classes)), key=classes.count)
    return [one for one in seen if one.ranks[2] == chosen]


def _homonyms(species: Sequence[Species]) -> list[Species]:
    known = {(one.ranks[0], one.binomial) for one in species}
    return [one for one in read_species(HOMONYMS) if (one.ranks[0], one.binomial) not in known]


def _filepaths(one: Species, settings: WorldSettings) -> list[str]:
    return [f"{one.folder}/{number:04d}.jpg" for number in range(settings.benchmark_images_per_species)]


def _benchmark_pictures(
    name: str, classes: Sequence[Species], look_of: Mapping[Species, Look], settings: WorldSettings
) -> list[Picture]:
    return [
        Picture(f"benchmarks/{name}/images/{path}", look_of[one], settings.image_size)
        for one in classes
        for path in _filepaths(one, settings)
    ]


def _write_labels(out: Path, name: str, classes: Sequence[Species], settings: WorldSettings) -> None:
    """Labels in the layout of the real file: Rare Species with its ranks, Meta-Album's insects without."""
    paths = [(one, path) for one in classes for path in _filepaths(one, settings)]
    target = out / "benchmarks" / name / "labels.csv"
    if name == "insects":
        rows: list[list[object]] = [[index, path, one.binomial] for index, (one, path) in enumerate(paths)]
        _write_csv(target, ["", "filepath", "class"], rows)
        return
    ranks = ["cls" if rank == "class" else rank for rank in RANKS]
    rows = [[index, *one.ranks, one.common_name, path, one.binomial] for index, (one, path) in enumerate(paths)]
    _write_csv(target, ["", *ranks, "common_name", "filepath", "class"], rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Sequence[Mapping[str, str | float | int | None]]) -> None:
    with whole(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows)), temporary, compression="zstd")


if __name__ == "__main__":
    run(make_world)
