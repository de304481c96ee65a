"""How scientific names are read."""

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from workflow_scripts.common.names import define_names
from workflow_scripts.contracts import RANKS

Names = Callable[[list[str]], dict[str, tuple[str | None, str | None, str | None]]]


@pytest.fixture(scope="module")
def read() -> Names:
    """Word, epithet and infraspecific epithet by the text as written."""
    connection = duckdb.connect()
    define_names(connection)

    def parse(texts: list[str]) -> dict[str, tuple[str | None, str | None, str | None]]:
        connection.register("texts", pa.table({"written": pa.array(texts, pa.string())}))
        return {row[0]: row[1:] for row in connection.execute("FROM parsed_names('texts')").fetchall()}

    return parse


@pytest.mark.parametrize(
    "written, parts",
    [
        ("Quercus alba L.", "Quercus alba"),
        ("Canis lupus familiaris Linnaeus, 1758", "Canis lupus familiaris"),
        ("Rosa canina L. var. dumetorum (Thuill.) Desv.", "Rosa canina dumetorum"),
        ("Aus bus Hook. f. ex Smith", "Aus bus"),
        ("Aus bus van der Berg", "Aus bus"),
        ("Aus de Haan, 1800", "Aus"),
        ("Panthera d'Orbigny", "Panthera"),
        ("Coccinella 7-punctata", "Coccinella 7-punctata"),
        ("Capsella bursa-pastoris", "Capsella bursa-pastoris"),
        ("Aus (Bus) cus Smith", "Aus cus"),
        ("Aus (s. str.) cus Smith", "Aus cus"),
        ("Aus bus!", "Aus bus"),
        ("Aus bus ß cus Fr.", "Aus bus cus"),
        ("Aus bus c cus Smith", "Aus bus cus"),
        ("×Cupressocyparis leylandii", "Cupressocyparis leylandii"),
        ("x Cupressocyparis leylandii", "Cupressocyparis leylandii"),
        ("Mentha × piperita L.", "Mentha piperita"),
        ("Oncorhynchus mykiss × Salmo trutta", "Oncorhynchus"),
        ("†Tyrannosaurus rex Osborn, 1905", "Tyrannosaurus rex"),
        ("<em>Apis&nbsp;mellifera</em>", "Apis mellifera"),
        ("Apis\u00a0\u200bmellifera\r\n", "Apis mellifera"),
        ('"Apis mellifera"', "Apis mellifera"),
        ("Quercus spp.", "Quercus"),
        ("Quercus ?alba", "Quercus"),
        ("cf. Quercus alba", "Quercus"),
        ("Aus bus cf. cus", "Aus bus"),
        ("Quercus nr. alba", "Quercus"),
        ("Fagaceae Dumort.", "Fagaceae"),
    ],
)
def test_a_name_is_read_as_a_taxonomist_would(read: Names, written: str, parts: str) -> None:
    assert " ".join(part for part in read([written])[written] if part) == parts


@pytest.mark.parametrize(
    "written",
    [
        "unknown",
        "Unidentified Coleoptera",
        "(unidentified)",
        "Not assigned",
        "incertae sedis",
        "Lepidoptera incertae sedis",
        "N/A",
        "-",
    ],
)
def test_words_for_unknown_are_not_names(read: Names, written: str) -> None:
    assert written not in read([written])


@given(st.lists(st.text(max_size=60), min_size=40, max_size=60))
@example(["\x00Quercus\x00alba", "'; DROP TABLE texts; --", "ẞ", "ǅ ǆ", "İstanbul ilex"])
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_text_is_read_or_left_and_reading_again_changes_nothing(read: Names, texts: list[str]) -> None:
    names = {" ".join(part for part in parts if part): parts for parts in read(texts).values()}
    assert not any(character in name for name in names for character in "<>;\n\t\x00")
    names.pop("", None)
    assert read(list(names)) == names


HOSTILE = [
    "'; DROP TABLE labels; --",
    '"',
    "%s {} ${x} {{y}}",
    "\x00\x01\x02",
    "😀🐦",
    "\u202eabla sucreuQ",
    "كلب",
    "Quercus alba " * 1000,
    "A" * 10_000,
    "e\u0301",
    "(((((((((((",
    "<b><b><b>",
    "\\\\'\\",
    "null",
    "\ufffe\uffff",
]


def test_hostile_labels_get_an_answer(resolved: Callable[..., list[dict[str, Any]]]) -> None:
    labels = [{rank: text} for text in HOSTILE for rank in (*RANKS, "scientific_name", "common")]
    labels += [dict.fromkeys((*RANKS, "scientific_name", "common"), text) for text in HOSTILE]
    answers = resolved(labels)
    assert len(answers) == len(labels)
    for label, answer in zip(labels, answers, strict=True):
        assert all(answer[f"provider_{key}"] == text for key, text in label.items())
        if "Quercus" not in "".join(label.values()):
            assert answer["strategy"] == "unresolved"
