"""Fuzzy matching: misspellings are resolved, and no species is taken for its sibling.

`gold/genera.txt` holds real genera with many of their species; the misspellings are generated from them.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

TAXONOMY = Path(__file__).parents[2] / "workflow_scripts" / "taxonomy"
LETTERS = "abcdefghilmnoprstuvxyz"
VOWELS = "aeiouy"
SOUNDS = (("y", "i"), ("i", "y"), ("ph", "f"), ("ae", "e"), ("rh", "r"), ("th", "t"), ("c", "k"))
MIN_READ_OF_ONE_LETTER = 0.9
MAX_WRONG_OF_TWO_LETTERS = 0.002


@pytest.fixture(scope="module")
def genera() -> dict[str, list[str]]:
    lines = (Path(__file__).parent / "gold" / "genera.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(": ") for line in lines if not line.startswith("#")]
    return {genus: epithets.split() for genus, _, epithets in pairs}


def test_no_sibling_is_near_enough_to_be_a_misspelling(genera: dict[str, list[str]]) -> None:
    with duckdb.connect() as connection:
        script = (TAXONOMY / "find_fuzzy.sql").read_text(encoding="utf-8")
        for statement in duckdb.extract_statements(script):
            if "MACRO" in statement.query:
                connection.execute(statement)
        connection.execute("CREATE TABLE species (genus VARCHAR, epithet VARCHAR)")
        rows = [(genus, epithet) for genus, epithets in genera.items() for epithet in epithets]
        connection.executemany("INSERT INTO species VALUES (?, ?)", rows)
        siblings = "FROM species AS one JOIN species AS other USING (genus) WHERE one.epithet < other.epithet"
        near = connection.execute(
            f"SELECT genus, one.epithet, other.epithet {siblings} "
            "AND letters_between(one.epithet, other.epithet) = 1 "
            "AND (least(length(one.epithet), length(other.epithet)) >= 6 OR has_same_stem(one.epithet, other.epithet))"
        ).fetchall()
        # The limits are needed: names that differ by two letters in eight or nine, or one in five, are other species.
        pairs = {row[0] for row in connection.execute(
            f"SELECT one.epithet {siblings} AND damerau_levenshtein(one.epithet, other.epithet) <= 2"
        ).fetchall()}  # fmt: skip
    assert near == []
    assert {"saccharinum", "agrifolia", "ciliatus", "alata", "erecta"} <= pairs


def misspelt(epithet: str, rng: random.Random) -> str:
    """The epithet with one mistake after its first letter, of a kind that people and scanners make."""
    place = rng.randrange(1, len(epithet))
    before, letter, after = epithet[:place], epithet[place], epithet[place + 1 :]
    sounds = [(one, other) for one, other in SOUNDS if one in epithet[1:]]
    doubled = [at for at in range(1, len(epithet)) if epithet[at] == epithet[at - 1]]
    made = [
        before + after,
        before + letter + letter + after,
        before + rng.choice(LETTERS) + letter + after,
        before + rng.choice(LETTERS) + after,
        before + after[:1] + letter + after[1:],
        before + (rng.choice(VOWELS) if letter in VOWELS else letter) + after,
        *(epithet[0] + epithet[1:].replace(one, other, 1) for one, other in sounds),
        *(epithet[:at] + epithet[at + 1 :] for at in doubled),
    ]
    return rng.choice(made)


@pytest.fixture(scope="module")
def backbone_of_genera(genera: dict[str, list[str]], make_backbone: Callable[..., tuple[Path, dict[str, Any]]]) -> Path:
    accepted = {"taxonomicStatus": "accepted"}
    rows = [accepted | {"taxonID": genus, "scientificName": genus, "taxonRank": "genus"} for genus in genera]
    rows += [
        accepted
        | {
            "taxonID": f"{genus} {epithet}",
            "parentNameUsageID": genus,
            "scientificName": f"{genus} {epithet}",
            "taxonRank": "species",
        }
        for genus, epithets in genera.items()
        for epithet in epithets
    ]
    return make_backbone(rows)[0]


@pytest.mark.parametrize("mistakes", [1, 2])
def test_generated_misspellings_are_read_and_never_as_a_sibling(
    genera: dict[str, list[str]],
    backbone_of_genera: Path,
    resolved: Callable[..., list[dict[str, Any]]],
    mistakes: int,
) -> None:
    rng = random.Random(mistakes)
    cases: dict[tuple[str, str], str] = {}
    for genus, epithets in genera.items():
        for epithet in epithets * 3:
            written = epithet
            for _ in range(mistakes):
                written = misspelt(written, rng)
            if written not in epithets:
                cases[genus, written] = epithet
    answers = resolved(
        [{"genus": genus, "species": written} for genus, written in cases], backbones={"test": backbone_of_genera}
    )
    read = [answer["species"] for answer in answers]
    right = sum(species == epithet for species, epithet in zip(read, cases.values(), strict=True)) / len(cases)
    wrong = sum(species not in (None, epithet) for species, epithet in zip(read, cases.values(), strict=True))
    print(f"\n{len(cases)} misspellings by {mistakes}: {right:.3f} read, {wrong} as another species")
    if mistakes == 1:
        assert right >= MIN_READ_OF_ONE_LETTER
        assert wrong == 0
    assert wrong <= MAX_WRONG_OF_TWO_LETTERS * len(cases)
