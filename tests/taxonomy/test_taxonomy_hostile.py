"""Any text in a label gets an answer, independent of the order of labels, and is never run as SQL."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from workflow_scripts.contracts import RANKS

Resolved = Callable[..., list[dict[str, Any]]]
Backbones = Callable[..., tuple[Path, dict[str, Any]]]
COLUMNS = (*RANKS, "scientific_name")
EXAMPLES = 1000

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
kingdoms = st.one_of(st.sampled_from(["Plantae", "Animalia", "Metazoa", "Fungi"]), texts)
a_label = st.fixed_dictionaries(dict.fromkeys(COLUMNS, texts) | {"kingdom": kingdoms})


@pytest.fixture(scope="module")
def labels() -> list[dict[str, Any]]:
    """Labels made by hypothesis, to be resolved together: starting a resolver takes most of the time."""
    made: list[dict[str, Any]] = []

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], database=None)
    @given(label=a_label)
    def collect(label: dict[str, Any]) -> None:
        made.append(label)

    collect()
    return made


@pytest.fixture(scope="module")
def answers(resolved: Resolved, labels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return resolved(labels)


def said(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers without their labels' ids."""
    return [{name: value for name, value in answer.items() if name != "label_id"} for answer in answers]


@pytest.mark.slow
def test_other_labels_and_their_order_change_no_answer(
    resolved: Resolved, labels: list[dict[str, Any]], answers: list[dict[str, Any]]
) -> None:
    for chosen, before in (
        (labels[::-1], answers[::-1]),
        (labels[::2], answers[::2]),
        (labels[:1], answers[:1]),
    ):
        for one, other in zip(said(resolved(chosen, threads=2)), said(before), strict=True):
            assert one == other


def test_no_answer_leaves_the_kingdom_that_the_label_names(
    labels: list[dict[str, Any]], answers: list[dict[str, Any]]
) -> None:
    found = 0
    for label, answer in zip(labels, answers, strict=True):
        kingdom = {"Metazoa": "Animalia"}.get(label["kingdom"], label["kingdom"])
        if kingdom in ("Plantae", "Animalia", "Fungi") and answer["kingdom"] is not None:
            assert answer["kingdom"] == kingdom, label
            found += 1
    assert found > EXAMPLES / 50


def test_an_answer_is_its_own_answer(resolved: Resolved, answers: list[dict[str, Any]]) -> None:
    found = [answer for answer in answers if answer["reason"] is None]
    assert len(found) > EXAMPLES / 10
    again = resolved([{column: answer[column] for column in COLUMNS} for answer in found])
    for before, after in zip(found, again, strict=True):
        assert after["accepted_id"] == before["accepted_id"], before


def test_an_unrelated_taxon_changes_no_answer_whatever_the_label(
    resolved: Resolved, grown: Path, labels: list[dict[str, Any]], answers: list[dict[str, Any]]
) -> None:
    assert resolved(labels, backbones={"test": grown}) == answers


@pytest.fixture(scope="session")
def grown(make_backbone: Backbones, rows: list[dict[str, str]], commons: list[dict[str, str]]) -> Path:
    """The small backbone with a family that no label mentions."""
    family = {"taxonID": "new", "scientificName": "Zzyzxidae", "taxonRank": "family", "taxonomicStatus": "accepted"}
    species = family | {"taxonID": "newer", "parentNameUsageID": "new", "scientificName": "Zzyzxus novus"}
    return make_backbone([*rows, family, species | {"taxonRank": "species"}], commons)[0]
