"""Class names are those of the papers' evaluation code."""

import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import RANKS
from workflow_scripts.evaluate.csv.texts import class_name

MAGPIE = ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Pica", "hudsonia")


def row(ranks: tuple[str | None, ...] = MAGPIE, common: str | None = "black-billed magpie") -> dict[str, object]:
    return {
        "position": 7,
        "class": "Pica_hudsonia.2",
        "common_name": common,
        **{f"taxon_{rank}": name for rank, name in zip(RANKS, ranks, strict=True)},
    }


@pytest.mark.parametrize(
    ("text_type", "expected"),
    [
        ("asis", "Pica_hudsonia.2"),
        ("sci", "Pica hudsonia"),
        ("com", "black-billed magpie"),
        ("taxon", "Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia"),
        ("sci_com", "Pica hudsonia with common name black-billed magpie"),
        (
            "taxon_com",
            "Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia with common name black-billed magpie",
        ),
    ],
)
def test_each_text_type_names_the_class(text_type: str, expected: str) -> None:
    assert class_name(row(), text_type) == expected


def test_without_a_kingdom_only_genus_and_species_are_written() -> None:
    assert class_name(row((None, *MAGPIE[1:])), "taxon_com") == "Pica hudsonia with common name black-billed magpie"
    assert class_name(row(("", *MAGPIE[1:]), None), "taxon") == "Pica hudsonia"


def test_an_empty_common_name_adds_nothing() -> None:
    assert class_name(row(common=None), "sci_com") == "Pica hudsonia"
    assert class_name(row(common=" "), "taxon_com").endswith("Pica hudsonia")


def test_an_empty_inner_rank_leaves_no_doubled_space() -> None:
    ranks = ("Animalia", "Chordata", None, None, "Corvidae", "Pica", "hudsonia")
    assert class_name(row(ranks), "taxon") == "Animalia Chordata Corvidae Pica hudsonia"


def test_case_is_that_of_the_published_code() -> None:
    assert class_name(row(("ANIMALIA", *MAGPIE[1:6], "Hudsonia")), "taxon").startswith("Animalia")
    assert class_name(row((*MAGPIE[:5], "pica", "HUDSONIA")), "sci") == "Pica hudsonia"


def test_a_class_without_any_name_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match=r"row 7.*Pica_hudsonia\.2.*taxon_com"):
        class_name(row((None,) * 7, None), "taxon_com")
