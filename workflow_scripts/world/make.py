"""Generate the embedded world: a miniature of all external data of a real run.

In: settings and a table of real species. Out: metadata with the columns of TreeOfLife-200M, a small table of local
images, a Darwin Core backbone, a LAION-like replay set, benchmarks in the papers' layouts, all their images, and
`world.json`, the pages that `serve` answers with. The same settings and table give the same bytes.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.world import WorldSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic, write_json
from workflow_scripts.contracts import RANKS
from workflow_scripts.world.appearance import Look, looks_of
from workflow_scripts.world.backbone import write_backbone
from workflow_scripts.world.catalogue import SUPPORT, TABLE_FOLDER, Row, body, plan_catalogue, plant, support_pictures
from workflow_scripts.world.miniatures import folders, plan_miniatures
from workflow_scripts.world.pictures import Picture, draw_pictures, write_file
from workflow_scripts.world.replay import plan_replay
from workflow_scripts.world.site import empty_site
from workflow_scripts.world.table import HOMONYMS, SHIPPED, Species, choose_unseen, read_species

MARKER = ".world"
BENCHMARKS = ("rare_species", "seen_species", "insects")


def make_world(*, settings: WorldSettings, out: Path, species: Path | None = None, jobs: int = 1) -> None:
    """Generate the embedded world.

    Args:
        settings: the config's `world` section.
        out: the world's folder; it must be new, empty or an earlier world's.
        species: table of species. Default: that of the settings, or else the built-in one.
        jobs: number of drawing processes; it does not affect the result.

    Raises:
        InputError: the table is invalid or too small, or the folder contains other files.
    """
    table = species or (Path(settings.species) if settings.species else SHIPPED)
    all_species = read_species(table)
    unseen = choose_unseen(all_species, settings.unseen_species, settings.seed)
    look_of = dict(zip(all_species, looks_of(all_species), strict=True))
    seen = [one for one in all_species if one not in unseen]
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
        "rare_species": [one for one in all_species if one in unseen],
        "seen_species": seen,
        "insects": _insects(seen),
    }
    miniatures = plan_miniatures(seen, look_of, settings.image_size)
    pictures = [*catalogue.pictures, *replay.pictures, *miniatures.pictures]
    planted: list[Row] = []
    if settings.planted:
        looks = [look_of[one] for one in seen]
        before = len(catalogue.pictures)
        planted = plant(catalogue, seen, looks, seed=settings.seed, count=settings.planted, side=settings.image_size)
        pictures += [*catalogue.pictures[before:], *support_pictures(looks, settings.image_size)]
    for name, classes in benchmarks.items():
        pictures += _benchmark_pictures(name, classes, look_of, settings)
    draw_pictures(pictures, out=out, seed=settings.seed, jobs=jobs)
    for file, (kind, source) in catalogue.bodies.items():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        write_file(out / file, body(kind, (out / source).read_bytes() if source else b"", settings.image_size))
    for file, content in miniatures.files.items():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        write_file(out / file, content)
    images = {*(picture.path for picture in pictures), *catalogue.bodies, *miniatures.files}
    _remove_leftovers(out, images, folders(miniatures))

    write_backbone(out / "backbone", [*all_species, *_homonyms(all_species)])
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
    """Mark the folder as a world's. Files of an earlier world are removed later, so no other files may be in it."""
    if not (out / MARKER).exists():
        if out.is_dir() and (other := next((path for path in out.rglob("*") if path.is_file()), None)):
            raise InputError(f"{out}: contains {other.name}, which is not a world's file; use a folder of its own")
        out.mkdir(parents=True, exist_ok=True)
        write_file(out / MARKER, b"")
    (out / "world.json").unlink(missing_ok=True)


def _remove_leftovers(out: Path, kept: set[str], benchmark_folders: set[str]) -> None:
    image_folders = [
        out / "site",
        out / TABLE_FOLDER,
        out / SUPPORT,
        *(out / "benchmarks" / name / "images" for name in BENCHMARKS),
    ]
    for folder in [*image_folders, *(out / name for name in sorted(benchmark_folders))]:
        for path in folder.rglob("*"):
            if path.is_file() and path.relative_to(out).as_posix() not in kept:
                path.unlink(missing_ok=True)


def _insects(seen: Sequence[Species]) -> list[Species]:
    """The insects in the training data, or the largest class if there are fewer than two insects."""
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
    """Write labels in the layout of the real file: Rare Species has columns of ranks, Meta-Album's insects has none."""
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
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_parquet(path: Path, rows: Sequence[Mapping[str, str | float | int | None]]) -> None:
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows)), temporary, compression="zstd")


if __name__ == "__main__":
    run(make_world)
