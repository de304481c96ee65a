"""Labels made by hand from real taxonomy: each gets the right taxon, for the right reason.

`gold/taxa.txt` is the checklist, `gold/labels.txt` the labels by trouble, `gold/overrides.csv` a curator's file.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.config.taxonomy import STRATEGIES
from workflow_scripts.contracts import RANKS

GOLD = Path(__file__).parent / "gold"
COLUMNS = {"name": "scientific_name", "key": "taxon_key"} | {rank: rank for rank in RANKS}
# A name may contain a semicolon ("&times;"): only one before a column's name ends a cell.
BETWEEN_CELLS = re.compile(rf"; (?=(?:{'|'.join(COLUMNS)}) )")
MIN_ACCURACY = 0.99
MIN_LABELS = 300
MIN_OF_EACH = 10

Resolved = Callable[..., list[dict[str, Any]]]


@dataclass(frozen=True)
class Case:
    """A label with its right answer.

    Attributes:
        trouble: its kind of trouble.
        label: its filled columns.
        outcome: the expected strategy, or the reason for none.
        taxon: kingdom and name of the answer, "" for none.
    """

    trouble: str
    label: dict[str, str]
    outcome: str
    taxon: str


def read_cases() -> list[Case]:
    """The labels of `gold/labels.txt`."""
    cases = []
    trouble = ""
    for line in (GOLD / "labels.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            trouble = line.strip("[]")
        elif line and not line.startswith("#"):
            written, _, answer = line.rpartition("-> ")
            pairs = [cell.strip().partition(" ") for cell in BETWEEN_CELLS.split(written) if cell.strip()]
            outcome, _, taxon = answer.partition(": ")
            label = {COLUMNS[column]: value for column, _, value in pairs}
            if "taxon_key" in label:
                label["taxon_key"] = f"gold:{label['taxon_key']}"
            cases.append(Case(trouble, label, outcome, taxon))
    return cases


def checklist() -> list[dict[str, str]]:
    """The taxa of `gold/taxa.txt` as rows of Taxon.tsv; a taxon's id is its kingdom and name, a synonym's its name."""
    rows: dict[str, dict[str, str]] = {}

    def add(key: str, parent: str, accepted: str, name: str, rank: str) -> None:
        row = {"taxonID": key, "parentNameUsageID": parent, "acceptedNameUsageID": accepted, "scientificName": name}
        rows.setdefault(key, row | {"taxonRank": rank, "taxonomicStatus": "synonym" if accepted else "accepted"})

    for line in (GOLD / "taxa.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if "|" in line:
            above, _, species = line.partition("|")
            names = above.split()
            kingdom, genus = names[0], names[-1]
            epithet = species.split()[0].replace("×", "")
            parent = ""
            for rank, name in zip(RANKS, names, strict=False):
                add(f"{kingdom} {name}", parent, "", name, rank)
                parent = f"{kingdom} {name}"
            add(f"{kingdom} {genus} {epithet}", parent, "", f"{genus} {species}", "species")
        elif " = " in line:
            written, _, accepted = line.partition(" = ")
            target = next(key for key in rows if key.endswith(f" {accepted}"))
            rank, _, name = written.partition(" ") if written.startswith("family") else ("species", "", written)
            add(name, "", target, name, rank)
    return list(rows.values())


@pytest.fixture(scope="module")
def gold_backbone(make_backbone: Callable[..., tuple[Path, dict[str, Any]]]) -> Path:
    """The checklist, built."""
    file, summary = make_backbone(checklist(), name="gold")
    assert "dangling_synonyms" not in summary["refused"]
    return file


@pytest.fixture(scope="module")
def resolve_cases(gold_backbone: Path, resolved: Resolved) -> Callable[[Sequence[Case]], list[dict[str, Any]]]:
    """Resolve cases; the answers come in their order."""
    return lambda cases: resolved(
        [case.label for case in cases], backbones={"gold": gold_backbone}, overrides=GOLD / "overrides.csv"
    )


@pytest.fixture(scope="module")
def judged(resolve_cases: Callable[[Sequence[Case]], list[dict[str, Any]]]) -> list[tuple[Case, dict[str, Any]]]:
    """Each case with its answer."""
    cases = read_cases()
    return list(zip(cases, resolve_cases(cases), strict=True))


def outcome_of(answer: dict[str, Any]) -> str:
    return str(answer["reason"] or answer["strategy"])


def taxon_of(answer: dict[str, Any]) -> str:
    """Kingdom and name: "Plantae Quercus alba", "Plantae Plantae"."""
    return f"{answer['kingdom']} {answer['scientific_name']}" if answer["reason"] is None else ""


def test_the_gold_labels_get_the_right_taxon_for_the_right_reason(judged: list[tuple[Case, dict[str, Any]]]) -> None:
    wrong = [(case, answer) for case, answer in judged if taxon_of(answer) != case.taxon]
    confusions = Counter(
        (case.outcome, outcome_of(answer)) for case, answer in judged if outcome_of(answer) != case.outcome
    )
    accuracy = 1 - len(wrong) / len(judged)
    print(f"\n{len(judged)} gold labels, accuracy {accuracy:.4f}")
    for case, answer in wrong:
        print(
            f"  wrong: {case.trouble}: {case.label}: {taxon_of(answer) or answer['reason']}, not {case.taxon or case}"
        )
    for (right, given), count in sorted(confusions.items()):
        print(f"  confused: {right} taken for {given}: {count}")
    assert accuracy >= MIN_ACCURACY
    assert sum(confusions.values()) <= (1 - MIN_ACCURACY) * len(judged)


def test_no_gold_label_gets_another_kingdom(judged: list[tuple[Case, dict[str, Any]]]) -> None:
    for case, answer in judged:
        if answer["kingdom"] is not None:
            assert answer["kingdom"] == case.taxon.split()[0], case


def test_there_are_enough_gold_labels_of_each_trouble_and_strategy() -> None:
    cases = read_cases()
    assert len(cases) >= MIN_LABELS
    assert min(Counter(case.trouble for case in cases).values()) >= MIN_OF_EACH
    strategies = Counter(case.outcome for case in cases)
    # `as_given` is only used without a backbone.
    asked = set(STRATEGIES) - {"as_given"}
    assert all(strategies[strategy] >= MIN_OF_EACH for strategy in asked), strategies
    labels = [tuple(sorted(case.label.items())) for case in cases]
    assert len(set(labels)) == len(labels)


def test_every_answer_says_why(judged: list[tuple[Case, dict[str, Any]]]) -> None:
    for case, answer in judged:
        assert answer["detail"], case


def test_a_gold_answer_resolves_to_itself(
    judged: list[tuple[Case, dict[str, Any]]], gold_backbone: Path, resolved: Resolved
) -> None:
    answers = [answer for _, answer in judged if answer["reason"] is None]
    again = resolved(
        [{key: answer[key] for key in (*RANKS, "scientific_name")} for answer in answers],
        backbones={"gold": gold_backbone},
    )
    assert [answer["accepted_id"] for answer in again] == [answer["accepted_id"] for answer in answers]
