"""The table of species, the choice of unseen species, and looks by rank."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import RANKS
from workflow_scripts.world.appearance import looks_of
from workflow_scripts.world.draw import draw_organism
from workflow_scripts.world.silhouettes import SILHOUETTES
from workflow_scripts.world.table import HOMONYMS, Species, choose_unseen, read_species

SHIPPED = read_species()


def test_shipped_table_has_enough_species_of_many_groups() -> None:
    assert len(SHIPPED) >= 192
    assert len({one.ranks[0] for one in SHIPPED}) >= 4
    assert len({one.ranks[2] for one in SHIPPED}) >= 15


def test_every_shipped_species_is_complete_and_unique() -> None:
    for one in SHIPPED:
        assert all(one.ranks), one
        assert all(name[0].isupper() for name in one.ranks[:-1]), one
        assert one.epithet == one.epithet.lower(), one
        assert one.common_name and one.authorship, one
    assert len({(one.ranks[0], one.binomial) for one in SHIPPED}) == len(SHIPPED)


def test_a_taxon_has_one_parent_unless_it_is_a_homonym_across_kingdoms() -> None:
    parents: dict[tuple[str, str, str], set[tuple[str, ...]]] = {}
    for one in [*SHIPPED, *read_species(HOMONYMS)]:
        for depth in range(1, len(RANKS) - 1):
            key = (one.ranks[0] if depth >= 5 else "", RANKS[depth], one.ranks[depth])
            parents.setdefault(key, set()).add(one.ranks[:depth])
    several = {key: found for key, found in parents.items() if len(found) > 1}
    # Genera such as Iris and Arenaria are in two kingdoms; Iris oratoria is an animal.
    assert not several


def test_synonyms_are_other_names_and_name_one_species_each() -> None:
    accepted = {one.binomial for one in SHIPPED}
    synonyms = [name for one in SHIPPED for name in one.synonyms]
    assert len(synonyms) >= 80
    assert not accepted & set(synonyms)
    assert max(Counter(synonyms).values()) == 1
    assert all(len(name.split()) == 2 for name in synonyms)
    assert any(name.split()[0] != one.genus for one in SHIPPED for name in one.synonyms)


def test_homonyms_are_shared_across_kingdoms() -> None:
    kingdoms: dict[str, set[str]] = {}
    for one in [*SHIPPED, *read_species(HOMONYMS)]:
        kingdoms.setdefault(one.genus, set()).add(one.ranks[0])
        kingdoms.setdefault(one.binomial, set()).add(one.ranks[0])
    for homonym in read_species(HOMONYMS):
        assert len(kingdoms[homonym.genus]) > 1, homonym
    shared = {name for name, found in kingdoms.items() if len(found) > 1}
    assert {"Laelia rosea", "Agathis montana", "Asterina gibbosa", "Oenanthe", "Prunella"} <= shared


def test_unseen_species_leave_a_relative_in_training() -> None:
    unseen = choose_unseen(SHIPPED, 24, seed=42)
    seen_genera = {one.genus for one in SHIPPED if one not in unseen}
    assert len(unseen) == 24
    assert {one.genus for one in unseen} <= seen_genera
    assert len({one.genus for one in unseen}) == 24


def test_the_choice_of_unseen_species_depends_on_the_seed_not_on_row_order() -> None:
    shuffled = random.Random(1).sample(SHIPPED, len(SHIPPED))
    assert choose_unseen(shuffled, 24, seed=42) == choose_unseen(SHIPPED, 24, seed=42)
    assert choose_unseen(SHIPPED, 24, seed=43) != choose_unseen(SHIPPED, 24, seed=42)


def test_species_without_relatives_are_chosen_last() -> None:
    def one(name: str, genus: str) -> Species:
        return Species(("Animalia", "Chordata", "Aves", "Odd", f"{genus}idae", genus, name))

    lonely = [one("solus", f"Genus{letter}") for letter in "abcdefgh"]
    related = [one("primus", "Corvus"), one("secundus", "Corvus")]
    assert len(choose_unseen([*lonely, *related], 1, seed=1) & set(related)) == 1
    assert len(choose_unseen([*lonely, *related], 4, seed=1) & set(related)) == 1


def test_the_labels_of_a_benchmark_are_a_table_of_species(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        ",kingdom,phylum,cls,order,family,genus,species,common_name,filepath,class\n"
        "0,Animalia,Chordata,Aves,,Corvidae,Pica,Pica pica,magpie,a.jpg,Pica pica\n"
        "1,Animalia,Chordata,Aves,,Corvidae,Pica,pica,magpie,b.jpg,Pica pica\n"
    )
    assert read_species(path) == [Species(("Animalia", "Chordata", "Aves", "", "Corvidae", "Pica", "pica"), "magpie")]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kingdom,genus\nAnimalia,Pica\n", "no column phylum"),
        ("kingdom,phylum,class,order,family,genus,species\nAnimalia,,,,,,pica\n", "line 2: no genus"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_row_and_column(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint) as caught:
        read_species(path)
    assert str(path) in str(caught.value)


def test_a_table_too_small_for_its_unseen_species_is_refused() -> None:
    with pytest.raises(InputError, match=r"lower world\.unseen_species"):
        choose_unseen(SHIPPED[:10], 6, seed=1)


def test_looks_follow_ranks() -> None:
    looks = dict(zip(SHIPPED, looks_of(SHIPPED), strict=True))
    for one in SHIPPED:
        for other in SHIPPED:
            if one.ranks[:-1] == other.ranks[:-1] and one != other:
                alike, differ = looks[one], looks[other]
                assert (alike.pattern, alike.second, alike.main) == (differ.pattern, differ.second, differ.main)
                assert (alike.mark_colour, alike.mark) != (differ.mark_colour, differ.mark)
            if one.ranks[:3] == other.ranks[:3]:
                assert looks[one].silhouette == looks[other].silhouette
            if one.ranks[:2] == other.ranks[:2]:
                assert looks[one].background == looks[other].background
    assert len(set(looks.values())) == len(SHIPPED)


def test_photos_of_a_species_differ_and_have_the_minimum_size() -> None:
    look = looks_of(SHIPPED)[0]
    photos = [draw_organism(look, np.random.default_rng(number), 256) for number in range(12)]
    assert all(min(photo.shape[:2]) >= 256 for photo in photos)
    assert len({photo.shape for photo in photos}) > 2
    assert len({photo.tobytes() for photo in photos}) == 12


@pytest.mark.parametrize("name", sorted(SILHOUETTES))
@pytest.mark.parametrize("limbs", [2, 5])
def test_a_silhouette_has_a_body_and_stays_in_its_square(name: str, limbs: int) -> None:
    parts = SILHOUETTES[name](limbs)
    assert any(part.role == "body" for part in parts)
    assert all(np.abs(part.corners).max() < 1.25 for part in parts)
