"""Check a folder or table of photos, report problems, and write a config for it."""

import csv
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
import yaml

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.base import NOT_IN_PATHS
from workflow_scripts.common.errors import InputError, did_you_mean
from workflow_scripts.common.files import atomic, check_writable, write_text
from workflow_scripts.common.losses import whole_percent
from workflow_scripts.common.photo_collection import (
    LOCAL,
    Collection,
    check_photos,
    count,
    hold_out,
    note_names,
    read_folder,
    read_table,
    shown,
)
from workflow_scripts.common.tables import connect

if TYPE_CHECKING:
    from workflow_scripts.common.config.root import Config

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT = Path("config/config.yaml")
RECIPES = ("photos", "finetune")
LISTED = 20
PHOTOS_A_PART = 5000
MAX_PARTS = 5000
MIN_PHOTOS = 5
FEW_PHOTOS = 10


def init(
    *,
    photos: tyro.conf.Positional[Path],
    out: Path = DEFAULT,
    recipe: str = "photos",
    name: Annotated[str | None, tyro.conf.arg(metavar="STR")] = None,
    columns: dict[str, str] = {},  # noqa: B006 (read only)
    images: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None,
    test_share: float = 0.2,
    check: int = 1000,
    overwrite: bool = False,
    memory_mb: int = 1024,
    threads: int = 2,
) -> None:
    """Check a folder or table of photos and write a config for it.

    The photos are not changed. Beside the config, a list of test photos is written: the photos in a folder named `test`
    (of a table: with `test` in the column `split`), or else a share of each species.

    Args:
        photos: a folder with one subfolder per species, or a table (CSV, TSV, Excel, parquet) with a column of file
            paths or URLs and a column of names.
        out: the config to write.
        recipe: where the model and training settings come from: `photos` (small, on a CPU), `finetune` (BioCLIP 2, on a
            GPU), or the path of a config.
        name: name of the corpus. Default: the name of the folder or table.
        columns: column names of the table, as pairs of our name and its name (--columns path Bild scientific_name Art).
        images: the folder that the table's paths are relative to. Default: the folder of the table.
        test_share: share of each species' photos (or individuals, by `occurrence_id`) to hold out for testing; 0 for
            none.
        check: number of photos to open, evenly spaced, to see whether they are readable.
        overwrite: replace existing files.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: no photos are found, or a file to write exists already.
    """
    # Importing the config model takes a quarter of a second, which `--help` does not need.
    from workflow_scripts.common.config.root import NAME, load_config, load_site, read_yaml

    if not 0 <= test_share < 1:
        raise InputError(f"--test-share {test_share}: expected a number from 0 to below 1")
    if check < 0:
        raise InputError(f"--check {check}: expected a number of photos, or 0 for none")
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"--out {out}: the file name must end in .yaml or .yml")
    template = _template(recipe)
    settings, site = read_yaml(template), load_site()
    config = load_config(settings, str(template), site)
    corpus = name or _name_of(photos)
    if not re.fullmatch(NAME, corpus):
        raise InputError(f"--name {corpus}: use letters, digits, _, . and -, with a letter or digit first")
    test_labels, own_table = (out.with_name(f"{corpus}_{what}.csv") for what in ("test", "photos"))
    if pair := next((ours for ours in columns if "=" in ours), None):
        raise InputError(f"--columns {pair}: write a space instead of =: --columns {pair.replace('=', ' ', 1)}")
    if not photos.exists():
        guess = did_you_mean(str(photos), map(str, photos.parent.glob("*")))
        raise InputError(f"{photos}: no such folder or table{guess}")
    if photos.is_dir() and Path.cwd().resolve().is_relative_to(photos.resolve()):
        raise InputError(f"{photos}: the current folder is inside it; run this outside your photo folder")
    if photos.is_dir() and out.resolve().is_relative_to(photos.resolve()):
        raise InputError(f"--out {out}: is inside the photo folder {photos}; choose a file outside it")
    if photos.resolve() in {path.resolve() for path in (out, test_labels, own_table)}:
        raise InputError(f"{photos}: would be overwritten; choose another --name or --out")
    if existing := [path for path in (out, test_labels, own_table) if path.exists() and not overwrite]:
        # The tables are named by the corpus.
        option = "--out" if existing[0] == out else "--name"
        raise InputError(f"{existing[0]}: exists already; choose another {option}, or replace it with --overwrite")
    check_writable(out)
    with connect(memory_mb, threads) as connection:
        if photos.is_dir():
            found = read_folder(connection, photos)
        else:
            found = read_table(connection, photos, columns, images or photos.parent)
        note_names(found)
        checked = check_photos(found, check, max(config.download.min_size, config.curate.min_size))
        tested = hold_out(found, test_share, MIN_PHOTOS)
        _print_report(found, photos, corpus, checked, tested)
        if checked and checked == found.unreadable:
            raise InputError(
                f"{photos}: none of the {count(checked, 'photo')} opened is readable, see above; paths are relative "
                f"to {found.images} (--images)"
            )
        warning = _loss_warning(found, checked, corpus, config, out)
        root = _readable(found.images, corpus)
        source: dict[str, Any] = {"name": corpus, "reader": "folders", "images": root}
        tables: dict[Path, tuple[str, str]] = {}
        if found.is_table:
            table = _readable(photos, f"{corpus}{''.join(photos.suffixes)}")
            source = {"name": corpus, "reader": "table", "table": table, "images": root, "columns": dict(columns)}
        elif found.reinterpreted:
            tables[own_table] = ("place AS path, name AS scientific_name, individual AS occurrence_id", "true")
            source = {"name": corpus, "reader": "table", "table": str(own_table), "images": root}
        if tested:
            tables[test_labels] = ("place AS filepath, name AS class", "is_test")
        parts = min(-(-found.count() // PHOTOS_A_PART), MAX_PARTS)
        sections = {"corpus": corpus, "generations": [{"parts": parts, "sources": [source]}]}
        sections |= _test_sections(settings, str(test_labels), root, tested)
        of = template.relative_to(PROJECT) if template.is_relative_to(PROJECT) else template
        about = (
            f"# yaml-language-server: $schema={ascii(str(PROJECT))[1:-1]}/config/schema.json\n"
            f"# Written by `python -m workflow_scripts.common.init` for {ascii(str(photos))[1:-1]}.\n"
            f"# Model and training settings are from {of}.\n"
        )
        text = with_sections(template.read_text(encoding="utf-8"), sections, about)
        try:
            load_config(yaml.safe_load(text), str(out), site)
        except InputError as error:
            raise InputError(
                f"--recipe {recipe}: does not fit photos ({str(error).partition(': ')[2]}); use "
                f"{' or '.join(RECIPES)}, or a copy of that config without this key"
            ) from None
        for path, (selected, condition) in tables.items():
            _write_csv(found, path, selected, condition)
    write_text(out, text)
    entry = "./run" if Path.cwd() == PROJECT else shlex.quote(str(PROJECT / "run"))
    option = "" if out == DEFAULT else f" --configfile {shlex.quote(str(out))}"
    sys.stdout.write(f"wrote {', '.join(map(str, [out, *tables]))}\n{warning}next: {entry} -n{option}\n")


def _loss_warning(found: Collection, checked: int, corpus: str, config: "Config", out: Path) -> str:
    """Say that the run will stop because it loses too many photos, and what to do; "" if it will not stop.

    Args:
        found: the photos.
        checked: number of photos opened.
        corpus: name of the source.
        config: the recipe.
        out: the config to write.
    """
    losses = [(found.unreadable, checked, True, "unreadable", "repair the files")]
    if config.taxonomy is None or not config.taxonomy.backbones:
        what = f"lost because their names have no taxon ({shown(found.lost_names())})"
        remedy = f"{'correct the names' if found.is_table else 'rename the folders'} (a genus as `Genus sp.`)"
        losses += [(*counts, is_local, what, remedy) for is_local, counts in found.lost_photos().items()]
    allowed = {is_local: config.max_loss.of(corpus, is_local=is_local) for is_local in (True, False)}
    beyond = [loss for loss in losses if loss[0] > allowed[loss[2]] * loss[1]]
    if not beyond:
        return ""
    clauses = [
        f"{lost:,} of {photos:,} photos are {what}, more than max_loss allows ({allowed[is_local]:.0%})"
        for lost, photos, is_local, what, _ in beyond
    ]
    # Of a sample, the exact share is unknown.
    is_sampled = beyond[0][3] == "unreadable" and checked < found.count(LOCAL)
    enough = 1 if is_sampled else max(whole_percent(lost / photos) for lost, photos, *_ in beyond)
    remedies = "; ".join(dict.fromkeys(remedy for *_, remedy in beyond))
    return (
        f"the run will stop: {'; '.join(clauses)}. Remedy: {remedies}; or continue without these photos: add "
        f"`max_loss: {{sources: {{{corpus}: {enough:g}}}}}` to {out} (the key max_loss.sources.{corpus})\n"
    )


def _template(recipe: str) -> Path:
    """Path of the config for a recipe, given by name or path.

    Raises:
        InputError: the config does not exist.
    """
    named = PROJECT / "config" / f"{recipe}.yaml"
    template = named if named.is_file() else Path(recipe)
    if not template.is_file():
        raise InputError(f"--recipe {recipe}: no such file; use {', '.join(RECIPES)}, or the path of a config")
    return template


def with_sections(text: str, sections: Mapping[str, Any], about: str) -> str:
    """A config's text with some sections replaced; the other sections keep their comments.

    Args:
        text: the config, a YAML mapping.
        sections: new values by key; None removes a section.
        about: head comment, which replaces the one of the config.
    """
    lines = text.splitlines(keepends=True)
    starts = {}
    root = yaml.compose(text, yaml.SafeLoader)
    for key, _ in root.value if root else []:
        start = key.start_mark.line
        while start and lines[start - 1].startswith("#"):
            start -= 1
        starts[key.value] = (start, key.start_mark.line)
    ends = [*(start for start, _ in starts.values()), len(lines)][1:]
    blocks = [about]
    for place, ((key, (start, line)), end) in enumerate(zip(starts.items(), ends, strict=True)):
        comment = "".join(lines[start:line]) if place else ""
        if key not in sections:
            blocks.append(comment + "".join(lines[line:end]))
        elif sections[key] is not None:
            blocks.append(comment + _dumped(key, sections[key]) + "\n")
    blocks += [_dumped(key, value) for key, value in sections.items() if key not in starts and value is not None]
    return "".join(blocks)


def _dumped(key: str, value: Any) -> str:
    return yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=120)


def _test_sections(settings: Mapping[str, Any], labels: str, root: str, tested: int) -> dict[str, Any]:
    """The sections of the config that depend on the photos held out for testing."""
    curate = dict(settings.get("curate", {}))
    if not tested:
        return {
            "benchmarks": None,
            "curate": {key: value for key, value in curate.items() if key != "clean_of"} or None,
        }
    name = next(iter(curate.get("clean_of", [])), "test")
    benchmark = {"layout": "csv", "labels": labels, "images": root, "text_type": "asis"}
    sections: dict[str, Any] = {"benchmarks": {name: benchmark}}
    if curate.get("clean_of") != [name]:
        sections["curate"] = curate | {"clean_of": [name]}
    return sections


def _readable(path: Path, name: str) -> str:
    """The path to write to the config: relative where possible, or a new link if Snakemake cannot read the path."""
    here, absolute = Path.cwd(), path.absolute()
    written = str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
    if not set(written) & set(NOT_IN_PATHS):
        return written
    link = Path(name)
    if not (link.is_symlink() and link.resolve() == path.resolve()):
        if link.exists() or link.is_symlink():
            raise InputError(
                f"{path}: Snakemake cannot read paths that contain any of {NOT_IN_PATHS}, and {link} exists already"
            )
        link.symlink_to(absolute)
    sys.stdout.write(f"{path}: linked as {link}: Snakemake cannot read paths that contain any of {NOT_IN_PATHS}\n")
    return str(link)


def _name_of(photos: Path) -> str:
    stem = photos.absolute().name if photos.is_dir() else photos.name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-").lower() or "photos"


def _write_csv(found: Collection, path: Path, columns: str, condition: str) -> None:
    rows = found.connection.execute(f"SELECT {columns} FROM photos WHERE {condition} ORDER BY place")
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([column[0] for column in rows.description])
        while some := rows.fetchmany(10_000):
            table.writerows(some)


def _print_report(found: Collection, photos: Path, corpus: str, checked: int, tested: int) -> None:
    species = found.species()
    total = sum(species.values())
    lines = [f"{photos}: {count(total, 'photo')} of {len(species):,} species"]
    if found.is_table:
        lines += ["columns read: " + ", ".join(_column(ours, theirs) for ours, theirs in found.columns.items())]
        if found.unused:
            keep = f"generations.0.sources.{corpus}.keep"
            lines += [f"columns not read (to carry them along, list them in {keep}): " + ", ".join(found.unused)]
    width = max(map(len, list(species)[:LISTED]))
    lines += [f"  {name:<{width}}  {photos_of:,}" for name, photos_of in list(species.items())[:LISTED]]
    if len(species) > LISTED:
        fewest = list(species.values())[LISTED:]
        lines += [f"  and {len(fewest):,} more species with {fewest[-1]:,} to {fewest[0]:,} photos each"]
    if addresses := total - found.count(LOCAL):
        lines += [f"{count(addresses, 'photo')} given by URL, which the run downloads"]
    if checked < total - addresses:
        lines += [f"opened {checked:,} of {total - addresses:,} photos (--check)"]
    if few := sum(photos_of < FEW_PHOTOS for photos_of in species.values()):
        lines += [f"{few:,} species with fewer than {FEW_PHOTOS} photos"]
    lines += ["", "problems:" if found.problems else "no problems found", *(f"- {one}" for one in found.problems), ""]
    lines += [
        f"{count(tested, 'photo')} held out for testing"
        if tested
        else "no photos held out for testing, so there will be no scores"
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _column(ours: str, theirs: str) -> str:
    return ours if ours == theirs else f"{theirs} ({ours})"


if __name__ == "__main__":
    run(init)
