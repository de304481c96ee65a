"""Examine a folder or table of photos, report problems, and write a config for it."""

import csv
import difflib
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tyro
import yaml

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.base import NOT_IN_PATHS
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole, write_text
from workflow_scripts.common.photo_collection import (
    LOCAL,
    Collection,
    check_photos,
    count,
    hold_out,
    note_names,
    read_folder,
    read_table,
)
from workflow_scripts.common.tables import connect

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT = Path("config/config.yaml")
RECIPES = ("photos", "finetune")
LISTED = 20
PHOTOS_A_PART = 5000
MOST_PARTS = 5000
LEAST_PHOTOS = 5
FEW_PHOTOS = 10


def init(
    *,
    photos: tyro.conf.Positional[Path],
    out: Path = DEFAULT,
    recipe: str = "photos",
    name: str | None = None,
    columns: dict[str, str] = {},  # noqa: B006 (read only)
    images: Path | None = None,
    test_share: float = 0.2,
    check: int = 1000,
    overwrite: bool = False,
    memory_mb: int = 1024,
    threads: int = 2,
) -> None:
    """Look at photos and write a config for them.

    Photos are only read. Besides the config, the list of the photos that are kept for testing is written beside it:
    those of a folder `test` (or of a table's column `split`), or else a share of each species'.

    Args:
        photos: a folder with a folder for each species, or a table (CSV, TSV, Excel, parquet) with a column of files or
            addresses and one of names.
        out: the config to write.
        recipe: whose model and training: `photos` (small, on a CPU), `finetune` (BioCLIP 2, on a GPU), or a config's
            path.
        name: name of the corpus. Default: from the folder or table.
        columns: of a table: our column name, and the table's (--columns path Bild scientific_name Art).
        images: of a table: the folder that its paths start from. Default: the table's.
        test_share: share of each species' photos (or individuals, by `occurrence_id`) that are kept for testing; 0 for
            none.
        check: most photos that are opened to see whether they can be read, evenly spaced.
        overwrite: whether a config that is there may be replaced.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: no photos are found, or a file to write is there already.
    """
    # The whole config takes a quarter of a second to import, which `--help` need not wait for.
    from workflow_scripts.common.config.root import NAME, load_config, load_site, read_yaml

    if not 0 <= test_share < 1:
        raise InputError(f"--test-share {test_share}: give a share from 0 to below 1")
    if check < 0:
        raise InputError(f"--check {check}: give a number of photos, 0 for none")
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"--out {out}: a config's name ends in .yaml")
    template = _template(recipe)
    settings, site = read_yaml(template), load_site()
    config = load_config(settings, str(template), site)
    corpus = name or _name_of(photos)
    if not re.fullmatch(NAME, corpus):
        raise InputError(f"--name {corpus}: a name of letters, digits, _, . and -")
    test_labels, own_table = (out.with_name(f"{corpus}_{what}.csv") for what in ("test", "photos"))
    if not photos.exists():
        near = difflib.get_close_matches(str(photos), map(str, photos.parent.glob("*")), n=1)
        raise InputError(f"{photos}: no such folder or table" + (f"; did you mean {near[0]}?" if near else ""))
    if photos.is_dir() and Path.cwd().resolve().is_relative_to(photos.resolve()):
        raise InputError(f"{photos}: results would lie among your photos; give this command in a folder of its own")
    if photos.is_dir() and out.resolve().is_relative_to(photos.resolve()):
        raise InputError(f"--out {out}: lies among your photos; name a file elsewhere")
    if photos.resolve() in {path.resolve() for path in (out, test_labels, own_table)}:
        raise InputError(f"{photos}: would be written over; give another --name or --out")
    if there := [path for path in (out, test_labels, own_table) if path.exists() and not overwrite]:
        raise InputError(f"{there[0]} is there already; name another file with --out, or replace it with --overwrite")
    with connect(memory_mb, threads) as connection:
        if photos.is_dir():
            found = read_folder(connection, photos)
        else:
            found = read_table(connection, photos, columns, images or photos.parent)
        note_names(found)
        checked = check_photos(found, check, max(config.download.min_size, config.curate.min_size))
        tested = hold_out(found, test_share, LEAST_PHOTOS)
        _say(found, photos, checked, tested)
        if checked and checked == found.unreadable:
            raise InputError(
                f"{photos}: none of the {count(checked, 'photo')} opened is readable, see above; paths start from "
                f"{found.images} (--images)"
            )
        lost = config.max_loss.of(corpus, is_local=True)
        if found.unreadable > lost * checked:
            sys.stdout.write(
                f"a run would stop, for more than {lost:.0%} of the photos are unreadable: mend them, or add "
                f"`max_loss: {{sources: {{{corpus}: 1}}}}` to the config\n"
            )
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
        parts = min(-(-found.count() // PHOTOS_A_PART), MOST_PARTS)
        sections = {"corpus": corpus, "generations": [{"parts": parts, "sources": [source]}]}
        sections |= _test_sections(settings, str(test_labels), root, tested)
        of = template.relative_to(PROJECT) if template.is_relative_to(PROJECT) else template
        about = (
            f"# yaml-language-server: $schema={ascii(str(PROJECT))[1:-1]}/config/schema.json\n"
            f"# Written by `python -m workflow_scripts.common.init` for {ascii(str(photos))[1:-1]}.\n"
            f"# The model and its training are those of {of}.\n"
        )
        text = with_sections(template.read_text(encoding="utf-8"), sections, about)
        try:
            load_config(yaml.safe_load(text), str(out), site)
        except InputError as error:
            raise InputError(
                f"--recipe {recipe} is for other data ({str(error).partition(': ')[2]}); give {' or '.join(RECIPES)}, "
                "or a copy of that config without this key"
            ) from None
        for path, (selected, condition) in tables.items():
            _write_csv(found, path, selected, condition)
    write_text(out, text)
    entry = "./run" if Path.cwd() == PROJECT else shlex.quote(str(PROJECT / "run"))
    option = "" if out == DEFAULT else f" --configfile {shlex.quote(str(out))}"
    sys.stdout.write(f"wrote {', '.join(map(str, [out, *tables]))}\nnext: {entry} -n{option}\n")


def _template(recipe: str) -> Path:
    """The config that a recipe's name or path means.

    Raises:
        InputError: there is none.
    """
    named = PROJECT / "config" / f"{recipe}.yaml"
    template = named if named.is_file() else Path(recipe)
    if not template.is_file():
        raise InputError(f"--recipe {recipe}: no such file; give {', '.join(RECIPES)}, or a config's path")
    return template


def with_sections(text: str, sections: Mapping[str, Any], about: str) -> str:
    """A config with some of its sections replaced; the others keep their comments.

    Args:
        text: the config, a YAML mapping.
        sections: new values by key; None leaves a section out.
        about: what stands at its head, in place of the comment there.
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
    """What of the config is about the photos that are kept for testing."""
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
    """A path as the config gives it: from here where it is below, and by a link where Snakemake cannot read it."""
    here, whole_path = Path.cwd(), path.absolute()
    written = str(whole_path.relative_to(here) if whole_path.is_relative_to(here) else whole_path)
    if not set(written) & set(NOT_IN_PATHS):
        return written
    link = Path(name)
    if not (link.is_symlink() and link.resolve() == path.resolve()):
        if link.exists() or link.is_symlink():
            raise InputError(
                f"{path}: Snakemake does not read paths with any of {NOT_IN_PATHS}, and {link} is there already"
            )
        link.symlink_to(whole_path)
    sys.stdout.write(f"{path} is linked as {link}: Snakemake does not read paths with any of {NOT_IN_PATHS}\n")
    return str(link)


def _name_of(photos: Path) -> str:
    stem = photos.absolute().name if photos.is_dir() else photos.name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-").lower() or "photos"


def _write_csv(found: Collection, path: Path, columns: str, condition: str) -> None:
    rows = found.connection.execute(f"SELECT {columns} FROM photos WHERE {condition} ORDER BY place")
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([column[0] for column in rows.description])
        while some := rows.fetchmany(10_000):
            table.writerows(some)


def _say(found: Collection, photos: Path, checked: int, tested: int) -> None:
    species = found.species()
    total = sum(species.values())
    lines = [f"{photos}: {count(total, 'photo')} of {len(species):,} species"]
    if found.is_table:
        lines += ["columns read: " + ", ".join(_column(ours, theirs) for ours, theirs in found.columns.items())]
        if found.unused:
            lines += ["columns not read (carry them with the source's `keep`): " + ", ".join(found.unused)]
    width = max(map(len, list(species)[:LISTED]))
    lines += [f"  {name:<{width}}  {photos_of:,}" for name, photos_of in list(species.items())[:LISTED]]
    if len(species) > LISTED:
        fewest = list(species.values())[LISTED:]
        lines += [f"  and {len(fewest):,} more species with {fewest[-1]:,} to {fewest[0]:,} photos each"]
    if addresses := total - found.count(LOCAL):
        lines += [f"{count(addresses, 'photo')} on the network, which the run downloads"]
    if checked < total - addresses:
        lines += [f"opened {checked:,} of {total - addresses:,} photos (--check)"]
    if few := sum(photos_of < FEW_PHOTOS for photos_of in species.values()):
        lines += [f"{few:,} species with fewer than {FEW_PHOTOS} photos"]
    lines += ["", "odd:" if found.odd else "nothing odd", *(f"- {one}" for one in found.odd), ""]
    lines += [
        f"{count(tested, 'photo')} kept for testing" if tested else "no photo is kept for testing: the run has no score"
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _column(ours: str, theirs: str) -> str:
    return ours if ours == theirs else f"{theirs} ({ours})"


if __name__ == "__main__":
    run(init)
