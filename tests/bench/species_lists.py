"""Errors of fuzzy matching on lists of real species: missing species matched to siblings, misspellings not found.

`python species_lists.py FILE...` prints the curve for lists with one "Genus epithet" a line.
"""

import os
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rows import Row, sized

from workflow_scripts.common.config.taxonomy import TaxonomySettings
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import LABELS, PROVIDER_LABELS, RANKS
from workflow_scripts.taxonomy.backbone import build_backbone
from workflow_scripts.taxonomy.resolve import resolve

MAX_FALSE_PERCENT = 0.25
MIN_FOUND_PERCENT = 92.0
FOLDS = 4
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SETTINGS = TaxonomySettings.model_validate({"backbones": [{"name": "list", "reader": "dwca", "path": "unused"}]})

Species = tuple[str, str]


@dataclass(frozen=True)
class Errors:
    """Percent of removed species matched to a sibling, and of misspellings found, by number of differing letters."""

    false: float
    found: dict[int, float]


def read_list(path: Path) -> list[Species]:
    """The binomials of a list."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return sorted({(words[0], words[1]) for words in lines if len(words) == 2})


def misspelt(epithet: str, lot: random.Random) -> str:
    """The epithet with one letter deleted, inserted, replaced, or swapped with the next, at a random place."""
    place = lot.randrange(len(epithet))
    before, letter, after = epithet[:place], epithet[place], epithet[place + 1 :]
    made = [before + after, before + lot.choice(LETTERS) + letter + after, before + lot.choice(LETTERS) + after]
    return lot.choice([*made, before + after[:1] + letter + after[1:]])


def errors_of(species: Sequence[Species], family: str | None) -> Errors:
    """Both errors over a list; each label gives the family where there is one.

    Species are left out a quarter at a time, siblings next to each other in the alphabet in different quarters.
    """
    by_genus: dict[str, list[Species]] = defaultdict(list)
    for one in species:
        by_genus[one[0]].append(one)
    fold_of = {one: place % FOLDS for genus in by_genus.values() for place, one in enumerate(genus)}
    false = 0
    for fold in range(FOLDS):
        left_out = [one for one in species if fold_of[one] == fold]
        answers = _answers([one for one in species if fold_of[one] != fold], left_out, family)
        false += sum(answer is not None for answer in answers)
    found = {}
    for letters in (1, 2):
        lot = random.Random(letters)
        cases = {}
        for genus, epithet in species:
            written = epithet
            for _ in range(letters):
                written = misspelt(written, lot) if len(written) > 2 else written
            if (genus, written) not in fold_of:
                cases[genus, written] = epithet
        answers = _answers(species, list(cases), family)
        found[letters] = 100 * sum(map(str.__eq__, (a or "" for a in answers), cases.values())) / len(cases)
    return Errors(100 * false / len(species), found)


def _answers(known: Sequence[Species], asked: Sequence[Species], family: str | None) -> list[str | None]:
    """The epithets that labels get of a backbone of `known`."""
    with tempfile.TemporaryDirectory(prefix="species-list-") as name:
        folder = Path(name)
        header = ("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "taxonRank")
        rows = [(family, "", "", family, "family")] if family else []
        rows += [(genus, family or "", "", genus, "genus") for genus in sorted({genus for genus, _ in known})]
        rows += [(f"{genus} {epithet}", genus, "", f"{genus} {epithet}", "species") for genus, epithet in known]
        lines = ["\t".join((*header, "taxonomicStatus")), *("\t".join((*row, "accepted")) for row in rows)]
        (folder / "Taxon.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        limits = {"memory_mb": 1000, "threads": 2}
        file = folder / "backbone.duckdb"
        build_backbone(name="list", archive=folder, out=file, summary=folder / "summary.json", **limits)
        empty = dict.fromkeys((*RANKS, "scientific_name", "common", "taxon_key"))
        labels = [
            {"label_id": f"{place:06d}", "images": 1} | empty | {"family": family, "genus": genus, "species": epithet}
            for place, (genus, epithet) in enumerate(asked)
        ]
        write_rows(labels, PROVIDER_LABELS, folder / "labels.parquet")
        resolve(
            labels=(folder / "labels.parquet",),
            backbones={"list": file},
            settings=SETTINGS,
            out=folder / "resolved.parquet",
            account=folder / "account.json",
            **limits,
        )
        answers = read_rows(folder / "resolved.parquet", LABELS).to_pylist()
        return [answer["species"] for answer in sorted(answers, key=lambda answer: str(answer["label_id"]))]


def fuzzy_errors() -> Iterator[Row]:
    """Both errors beside their limits, over the lists of real/species, without and with a family."""
    folder = os.environ.get("TREEOFLIFE_REAL_DATA")
    if not folder:
        sys.stderr.write("the errors of fuzzy matching are left out: TREEOFLIFE_REAL_DATA names no folder\n")
        return
    lists = sorted((Path(folder) / "real/species").glob("*.txt"))
    for path in sized(lists, lists[:1]):
        for family in sized((None, "Familia"), ("Familia",)):
            names = read_list(path)
            errors = errors_of(sized(names, names[:200]), family)
            name = f"taxonomy_{path.stem}{'_with_family' if family else ''}"
            yield Row(f"{name}_false", errors.false, "%", "limit", MAX_FALSE_PERCENT)
            yield Row(f"{name}_found_one_letter", errors.found[1], "%", "limit", MIN_FOUND_PERCENT)
            yield Row(f"{name}_found_two_letters", errors.found[2], "%", "of one letter", errors.found[1])


if __name__ == "__main__":
    for written in sys.argv[1:]:
        for family in (None, "Familia"):
            sys.stdout.write(f"{Path(written).stem} {family}: {errors_of(read_list(Path(written)), family)}\n")
            sys.stdout.flush()
