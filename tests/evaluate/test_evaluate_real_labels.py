"""The published label files are read into the right classes, with prompts as the protocol writes them.

They are data of others and not in the repository: the environment variable names the folder that has them.
"""

import os
from pathlib import Path

import pytest

from workflow_scripts.common.config.evaluate import LabelledFolder
from workflow_scripts.common.prompts import TEMPLATES
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.csv.index import read_labels
from workflow_scripts.evaluate.csv.texts import class_name
from workflow_scripts.evaluate.indexing import Labelled


def rows_of(name: str) -> list[Labelled]:
    folder = os.environ.get("TREEOFLIFE_REAL_DATA")
    if not folder or not (labels := Path(folder) / f"labels/{name}.csv").exists():
        pytest.skip(f"TREEOFLIFE_REAL_DATA names no folder with labels/{name}.csv")
    given = LabelledFolder(labels=str(labels), images="images")
    return list(read_labels(given, needs_ranks=name == "rare_species"))


def names_of(rows: list[Labelled], text_type: str) -> list[str]:
    return [
        class_name(
            {"position": row.position, "class": row.label, "common_name": row.common_name}
            | {f"taxon_{rank}": name for rank, name in row.ranks.items()},
            text_type,
        )
        for row in rows
    ]


@pytest.mark.parametrize(
    ("name", "rows", "text_type", "classes", "first_prompt"),
    [
        (
            "rare_species",
            11_983,
            "taxon_com",
            400,
            "a photo of Animalia Mollusca Bivalvia Unionida Unionidae Cyclonaias tuberculata with common name purple "
            "wartyback.",
        ),
        (
            "rare_species",
            11_983,
            "sci_com",
            400,
            "a photo of Cyclonaias tuberculata with common name purple wartyback.",
        ),
        ("insects2", None, "asis", 102, "a photo of Lycorma delicatula."),
        ("fungi", None, "asis", 25, "a photo of Amanita excelsa Gonn. & Rabenh.."),
    ],
)
def test_real_labels_give_the_papers_classes_and_prompts(
    name: str, rows: int | None, text_type: str, classes: int, first_prompt: str
) -> None:
    read = rows_of(name)
    if rows is not None:
        assert len(read) == rows
    assert [row.position for row in read] == list(range(len(read)))
    found = Classes.in_order(names_of(read, text_type))
    assert len(found.names) == classes == len({row.label for row in read})
    assert TEMPLATES[0](found.names[0]) == first_prompt


def test_rare_species_has_thirty_images_of_all_classes_but_five() -> None:
    counts: dict[str, int] = {}
    for row in rows_of("rare_species"):
        counts[row.label] = counts.get(row.label, 0) + 1
    assert sorted(counts.values()) == [21, 27, 27, 29, 29, *[30] * 395]
