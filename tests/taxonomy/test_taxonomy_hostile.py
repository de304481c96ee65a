"""Whatever stands in a label, it gets an answer, the same in any order, and is never taken for SQL."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow_scripts.contracts import RANKS

Resolved = Callable[..., list[dict[str, Any]]]
Backbones = Callable[..., tuple[Path, dict[str, Any]]]
COLUMNS = (*RANKS, "scientific_name")

HOSTILE = [
    "",
    " ",
    "x" * 10_000,
    "Quercus " * 2_000,
    "\x00\x01\x02\x1b[31m",
    "Quercus\talba\n\r",
    "'; DROP TABLE labels; --",
    '"; DELETE FROM answers; --',
    "Quercus' OR '1'='1",
    "getvariable('finder')",
    "{{ 7 * 7 }} ${HOME} $(id) `id`",
    "%s %d %n",
    "Que\u0301rcus alba",
    "Qu\u00e9rcus alba",
    "\u202eabla sucreuQ",
    "\u05d0\u05dc\u05d5\u05df",
    "\U0001f333\U0001f98b",
    "Quercus \U0001f333 alba",
    "\ufeffQuercus alba",
    "Quercus\u00a0alba",
    "Quercus\u200balba",
    "((((((((((",
    ".*+?^$[](){}|\\",
    "\\p{L}\\",
    "NULL",
    "Ａｐｉｓ ｍｅｌｌｉｆｅｒａ",
    "ﬁ" * 50,
    "a\u0300" * 500,
]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_hostile_text_in_any_column_gets_an_answer(resolved: Resolved, column: str) -> None:
    plain = {"species": "Apis mellifera"}
    answers = resolved([*({column: text} for text in HOSTILE), plain])
    assert len(answers) == len(HOSTILE) + 1
    for text, answer in zip(HOSTILE, answers[:-1], strict=True):
        assert answer[f"provider_{column}"] == text
        assert answer["detail"]
        assert (answer["reason"] is None) == (answer["accepted_id"] is not None)
    assert answers[-1]["accepted_id"].endswith("Apis mellifera Linnaeus, 1758")


def test_what_a_person_would_read_is_read(resolved: Resolved) -> None:
    read = ["Que\u0301rcus alba", "Qu\u00e9rcus alba", "\ufeffQuercus alba", "Quercus\u00a0alba", "Quercus\talba\n\r"]
    answers = resolved([{"species": text} for text in read])
    assert {answer["scientific_name"] for answer in answers} == {"Quercus alba"}


NAMES = [
    "Quercus",
    "Apis",
    "Laelia",
    "Agathis",
    "Parus",
    "Plantae",
    "Animalia",
    "Metazoa",
    "Fungi",
    "Fagaceae",
    "Erebidae",
]
EPITHETS = [
    "alba",
    "rosea",
    "montana",
    "mellifera",
    "caeruleus",
    "melifera",
    "sp.",
    "cf.",
    "×",
    "L.",
    "unknown",
    "subsp.",
]
words = st.sampled_from([*NAMES, *EPITHETS])
texts = st.one_of(st.none(), st.lists(words, min_size=1, max_size=4).map(" ".join), st.text(max_size=20))
labels = st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, texts)), min_size=8, max_size=30)
few = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def said(answer: dict[str, Any]) -> tuple[Any, ...]:
    """An answer without the label's id."""
    return tuple(value for name, value in answer.items() if name != "label_id")


@few
@given(labels=labels)
def test_other_labels_and_their_order_change_no_answer(resolved: Resolved, labels: list[dict[str, Any]]) -> None:
    together = [said(answer) for answer in resolved(labels)]
    assert [said(answer) for answer in resolved(labels[::-1], threads=2)][::-1] == together
    assert said(resolved(labels[:1])[0]) == together[0]


@few
@given(labels=labels)
def test_no_answer_leaves_the_kingdom_that_the_label_names(resolved: Resolved, labels: list[dict[str, Any]]) -> None:
    for label, answer in zip(labels, resolved(labels), strict=True):
        if label["kingdom"] in ("Plantae", "Animalia", "Fungi") and answer["kingdom"] is not None:
            assert answer["kingdom"] == label["kingdom"]


@few
@given(labels=labels)
def test_an_answer_is_its_own_answer(resolved: Resolved, labels: list[dict[str, Any]]) -> None:
    answers = [answer for answer in resolved(labels) if answer["reason"] is None]
    again = resolved([{column: answer[column] for column in COLUMNS} for answer in answers] or [{}])
    assert [answer["accepted_id"] for answer in again][: len(answers)] == [answer["accepted_id"] for answer in answers]


@few
@given(labels=labels)
def test_an_unrelated_taxon_changes_no_answer_whatever_the_label(
    resolved: Resolved, grown: Path, labels: list[dict[str, Any]]
) -> None:
    assert [said(answer) for answer in resolved(labels, backbones={"test": grown})] == [
        said(answer) for answer in resolved(labels)
    ]


@pytest.fixture(scope="session")
def grown(make_backbone: Backbones, rows: list[dict[str, str]], commons: list[dict[str, str]]) -> Path:
    """The small backbone with a family that no label speaks of."""
    family = {"taxonID": "new", "scientificName": "Zzyzxidae", "taxonRank": "family", "taxonomicStatus": "accepted"}
    species = family | {"taxonID": "newer", "parentNameUsageID": "new", "scientificName": "Zzyzxus novus"}
    return make_backbone([*rows, family, species | {"taxonRank": "species"}], commons)[0]
