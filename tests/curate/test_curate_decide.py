"""Every catalog row gets one verdict, with the first reason that applies, whatever the order of the rows."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from tests.curate.inputs import LABEL_ROWS, RAVEN, Corpus, a_label, verdicts
from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.curate import CurateSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import GATHERED_DOWNLOADS, VERDICT_REASONS
from workflow_scripts.curate import decide as decide_module
from workflow_scripts.curate.decide import decide, spans_of

TROUBLES: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({"uuid": "good"}, None, None),
    ({"uuid": "gone", "status": "failed", "error": "http_error: 404"}, "download_failed", "failed: http_error: 404"),
    ({"uuid": "late", "status": "deferred", "error": None}, "download_failed", "deferred"),
    (
        {"uuid": "robots", "status": "refused", "error": "disallowed_by_robots"},
        "download_failed",
        "refused: disallowed_by_robots",
    ),
    ({"uuid": "html", "status": "refused", "error": "not_an_image: text"}, "unreadable", "refused: not_an_image: text"),
    ({"uuid": "cut", "status": "failed", "error": "truncated"}, "unreadable", "failed: truncated"),
    ({"uuid": "bomb", "status": "refused", "error": "too_large"}, "unreadable", "refused: too_large"),
    ({"uuid": "tiny", "status": "refused", "error": "too_small: 1 x 1"}, "too_small", "refused: too_small: 1 x 1"),
    ({"uuid": "narrow", "width": 223}, "too_small", "223 x 300"),
    ({"uuid": "edge", "width": 224, "height": 224}, None, None),
    ({"uuid": "unknown", "label": "nothing"}, "unresolved", "no name"),
    ({"uuid": "family", "label": "crows"}, "rank_too_high", "family"),
    ({"uuid": "plant", "label": "oak"}, "taxon_excluded", "plantae"),
    ({"uuid": "twin", "md5": "good"}, "duplicate", "good"),
    ({"uuid": "erased"}, "taken_down", "2026-01-31"),
    ({"uuid": "paper", "basis": "MaterialCitation"}, "basis_of_record", "MaterialCitation"),
    (
        {"uuid": "b1", "img_type": "Camera-trap", "occurrence": "b"},
        "camera_trap_sequence",
        "2 images of one occurrence",
    ),
    (
        {"uuid": "b2", "img_type": "Camera-trap", "occurrence": "b"},
        "camera_trap_sequence",
        "2 images of one occurrence",
    ),
    ({"uuid": "shared", "img_type": "Citizen Science", "occurrence": "c"}, None, None),
    ({"uuid": "shared2", "img_type": "Citizen Science", "occurrence": "c"}, None, None),
    ({"uuid": "closed", "license": "CC-BY-NC-4.0"}, "licence", "CC-BY-NC-4.0"),
    ({"uuid": "face", "license": "CC-BY-4.0"}, "outside_verdict", "a face"),
    ({"uuid": "page", "license": "CC-BY-4.0"}, "screened", "museum: text document"),
    ({"uuid": "bench", "label": "raven"}, "leakage", "birds: 1.jpg, 4 bits apart"),
    ({"uuid": "rare", "label": "crow"}, "held_out_species", "Animalia Corvus cornix"),
    ({"uuid": "lonely", "label": "jay"}, "below_floor", "1 images of its species"),
    ({"uuid": "p1", "md5": "ph", "label": "raven"}, "placeholder", "one picture under 3 species"),
    ({"uuid": "p2", "md5": "ph", "label": "magpie"}, "placeholder", "one picture under 3 species"),
    ({"uuid": "p3", "md5": "ph", "label": "oak"}, "taxon_excluded", "plantae"),
]


NO_PAGES = {"judge": "museum", "label": "text document", "reason": "text document", "at_least": 0.3}


def a_page(uuid: str) -> dict[str, Any]:
    """A judge's findings for a page of text."""
    return {"uuid": uuid, "judge": "museum", "label": "text document", "score": 0.5}


# A corpus without images is refused, so one image is kept.
KEPT = {"uuid": "kept", "label": "raven", "license": "CC-BY-4.0"}


def test_each_trouble_gets_its_reason_and_the_sums_hold(corpus: Corpus) -> None:
    images = [{"label": "magpie"} | image for image, _, _ in TROUBLES]
    ravens = [{"uuid": f"raven{n}", "label": "raven"} for n in range(9)]
    crow = a_label("crow", ("Animalia", *RAVEN[1:5], "Corvus", "cornix"))
    jay = a_label("jay", ("Animalia", *RAVEN[1:5], "Garrulus", "glandarius"))
    out = corpus.decide(
        [*images, *ravens], taxa={"exclude": ["Plantae"], "floor": 2, "cap": 8}, labels=[*LABEL_ROWS, crow, jay],
        ledger=[{"uuid": "erased"}], outside=[{"uuid": "face", "reason": "a face"}], leakage=[{"uuid": "bench"}],
        held_out=[{"genus": "Corvus", "species": "cornix"}], licences={"allow": ["CC-BY-4.0"]}, camera_trap_max=1,
        findings=[a_page("page")], refusals=[NO_PAGES],
    )  # fmt: skip
    decided = verdicts(out)
    given = {uuid: (row["reason"], row["detail"]) for uuid, row in decided.items() if not uuid.startswith("raven")}
    assert given == {image["uuid"]: (reason, detail) for image, reason, detail in TROUBLES}
    assert all(row["keep"] == (row["reason"] is None) == (row["split"] is not None) for row in decided.values())
    account = read_account(out.with_name("account.json"))
    assert account.rows_in == len(images) + len(ravens)
    assert account.dropped == Counter([*(reason for _, reason, _ in TROUBLES if reason), "over_cap"])
    assert set(account.dropped) == set(VERDICT_REASONS), "a reason has no case in this test"


MEETING = VERDICT_REASONS[: VERDICT_REASONS.index("duplicate") + 1]


@pytest.mark.parametrize("first", MEETING)
def test_the_first_reason_of_the_documented_order_is_given(corpus: Corpus, first: str) -> None:
    """An image to which every reason from `first` on applies, as far as they can be combined."""
    image: dict[str, Any] = {"uuid": "z", "md5": "same", "label": "raven", "license": "CC-BY-4.0", "occurrence": "o"}
    given: dict[str, list[dict[str, Any]]] = {}
    others = [
        {"uuid": f"a{label}", "md5": "same", "label": label, "license": "CC-BY-4.0"}
        for label in ("magpie", "raven", "oak")
    ]
    second_of_burst = {"uuid": "zz", "label": "raven", "license": "CC-BY-4.0", "occurrence": "o"}
    for reason in reversed(MEETING[MEETING.index(first) :]):
        match reason:
            case "taken_down":
                given["ledger"] = [{"uuid": "z"}]
            case "download_failed":
                image |= {"status": "failed", "error": "timeout"}
            case "unreadable":
                image |= {"status": "failed", "error": "truncated"}
            case "too_small":
                image |= {"width": 10}
            case "basis_of_record":
                image |= {"basis": "MATERIAL_CITATION"}
            case "camera_trap_sequence":
                image |= {"img_type": "Camera-trap"}
                second_of_burst |= {"img_type": "Camera-trap"}
            case "licence":
                image |= {"license": "CC-BY-NC-4.0"}
            case "outside_verdict":
                given["outside"] = [{"uuid": "z", "reason": "a face"}]
            case "screened":
                given["findings"] = [a_page("z")]
                given["refusals"] = [NO_PAGES]
            case "unresolved":
                image |= {"label": "nothing"}
            case "taxon_excluded":
                image |= {"label": "bad_crows"}
            case "rank_too_high":
                image |= {"label": "crows"}
            case "held_out_species":
                image |= {"label": "oak"}
                given["held_out"] = [{"genus": "Quercus", "species": "alba"}]
            case "leakage":
                given["leakage"] = [{"uuid": "z"}]
    labels = [*LABEL_ROWS, a_label("bad_crows", ("Animalia", "Chordata", "Aves", "Bad", "Corvidae", None, None))]
    met = [others[1]] if first in ("leakage", "duplicate") else others
    out = corpus.decide(
        [*met, image, second_of_burst, KEPT], labels=labels, taxa={"exclude": ["bad"]}, camera_trap_max=1,
        licences={"allow": ["CC-BY-4.0"]}, **given,
    )  # fmt: skip
    assert verdicts(out)["z"]["reason"] == first


def test_a_name_that_is_not_scientific_is_held_out_as_written(corpus: Corpus) -> None:
    sparrow = a_label("sparrow", (*[None] * 6, "House Sparrow")) | {"scientific_name": "House Sparrow"}
    images = [{"uuid": "z", "label": "sparrow"}, {"uuid": "y", "label": "oak", "md5": "y"}]
    out = corpus.decide(images, labels=[*LABEL_ROWS, sparrow], held_out=[{"genus": "", "species": "House Sparrow"}])
    assert {uuid: row["reason"] for uuid, row in verdicts(out).items()} == {"z": "held_out_species", "y": None}


def test_a_corpus_without_images_is_refused_with_its_causes(corpus: Corpus) -> None:
    lost = [{"uuid": f"gone{n}", "label": "raven", "status": "failed", "error": "http_error: 404"} for n in range(3)]
    with pytest.raises(InputError) as error:
        corpus.decide([*lost, {"uuid": "tiny", "label": "raven", "width": 9}])
    said = str(error.value)
    assert all(
        part in said for part in ("no images", "4", "g000", "3 download_failed", "404", "1 too_small", "9 x 300")
    )
    assert "download/g000.lost.csv" in said
    # A generation may add nothing to a corpus that has images.
    old = corpus.decide([{"uuid": "good", "label": "raven"}], name="old")
    corpus.decide(lost, generation=1, older=[old], name="new")


def test_crops_of_one_frame_are_neither_duplicates_nor_placeholders(corpus: Corpus) -> None:
    def crop(x: int) -> dict[str, int]:
        return {"x": x, "y": 0, "width": 9, "height": 9}

    frame = [
        {"uuid": str(x), "md5": "frame", "crop": crop(x), "label": label}
        for x, label in enumerate(("magpie", "raven", "oak"))
    ]
    again = {"uuid": "9", "md5": "frame", "crop": crop(1), "label": "raven"}
    decided = verdicts(corpus.decide([*frame, again]))
    assert [uuid for uuid, row in decided.items() if row["keep"]] == ["0", "1", "2"]
    assert (decided["9"]["reason"], decided["9"]["detail"]) == ("duplicate", "1")


@pytest.mark.parametrize(
    ("taxa", "kept"),
    [
        ({}, {"magpie", "raven", "oak"}),
        ({"include": ["corvidae"]}, {"magpie", "raven"}),
        ({"include": ["Corvidae", "Plantae"], "exclude": ["Pica  hudsonia"]}, {"raven", "oak"}),
        ({"exclude": ["Corvus"]}, {"magpie", "oak"}),
        ({"min_rank": "family"}, {"magpie", "raven", "oak", "crows"}),
        ({"min_rank": "species", "include": ["Aves"]}, {"magpie", "raven"}),
    ],
)
def test_the_taxa_filter_takes_names_at_any_rank(corpus: Corpus, taxa: dict[str, Any], kept: set[str]) -> None:
    images = [{"uuid": f"of {row['label_id']}", "label": row["label_id"]} for row in LABEL_ROWS]
    decided = verdicts(corpus.decide(images, taxa=taxa))
    assert {row["label_id"] for row in decided.values() if row["keep"]} == kept


@pytest.mark.parametrize("key", ["include", "exclude"])
def test_an_unknown_taxon_is_refused_with_a_suggestion(corpus: Corpus, key: str) -> None:
    image = {"uuid": "a", "label": "magpie"}
    with pytest.raises(InputError, match=rf"curate\.taxa\.{key}: .*Corvidea.*corvidae"):
        corpus.decide([image], taxa={key: ["Aves", "Corvidea"]})
    with pytest.raises(InputError, match=rf"curate\.taxa\.{key}: .*\bhudsonia\b"):
        corpus.decide([image], taxa={key: ["hudsonia"]})


def test_an_older_generations_image_wins_and_keeps_its_verdict(corpus: Corpus) -> None:
    old = corpus.decide([{"uuid": "z", "md5": "x", "label": "magpie"}], name="old")
    new = [
        {"uuid": "a", "md5": "x", "label": "magpie"},
        {"uuid": "b", "md5": "y", "label": "magpie"},
        # The same record again; its host now sends other bytes.
        {"uuid": "z", "md5": "w", "label": "magpie"},
    ]
    decided = verdicts(corpus.decide(new, generation=1, older=[old], name="new"))
    assert {uuid: row["detail"] for uuid, row in decided.items() if row["reason"] == "duplicate"} == {
        "a": "z",
        "z": "z",
    }
    assert decided["b"]["keep"]


def test_a_placeholder_is_seen_across_generations(corpus: Corpus) -> None:
    old = corpus.decide(
        [{"uuid": "1", "md5": "x", "label": "magpie"}, {"uuid": "2", "md5": "x", "label": "raven"}], name="old"
    )
    new = corpus.decide([{"uuid": "3", "md5": "x", "label": "oak"}], generation=1, older=[old], name="new")
    assert verdicts(new)["3"]["reason"] == "placeholder"


def test_an_occurrence_stays_where_an_older_generation_put_it(corpus: Corpus) -> None:
    """A species' only specimen goes to train; a later photo of it must follow, though others go to val."""
    old = corpus.decide([{"uuid": "o", "label": "oak", "occurrence": "tree 1"}], val_share=0.999999, name="old")
    assert verdicts(old)["o"]["split"] == "train"
    new = [{"uuid": "p", "label": "oak", "occurrence": "tree 1"}, {"uuid": "q", "label": "oak", "occurrence": "tree 2"}]
    decided = verdicts(corpus.decide(new, generation=1, older=[old], val_share=0.999999, name="new"))
    assert (decided["p"]["split"], decided["q"]["split"]) == ("train", "val")


def test_an_occurrence_stays_in_val_even_if_its_species_has_no_training_image(corpus: Corpus) -> None:
    flock = [{"uuid": f"{n:02d}", "label": "magpie", "occurrence": f"nest {n}"} for n in range(20)]
    old = corpus.decide(flock, val_share=0.5, name="old")
    held = next(row for row in verdicts(old).values() if row["split"] == "val")
    # Another photo of the same specimen, labelled as a raven; there is no other raven.
    new = {"uuid": "r", "label": "raven", "occurrence": held["occurrence"].removeprefix("occurrence ")}
    out = corpus.decide([new], generation=1, older=[old], val_share=0.5, name="new")
    assert verdicts(out)["r"]["split"] == "val"
    assert read_account(out.with_name("account.json")).notes == {"taxa": 1, "taxa in train": 0, "train": 0, "val": 1}


def test_a_burst_that_began_in_an_older_generation_is_counted_whole(corpus: Corpus) -> None:
    def shot(number: int, of: str) -> dict[str, Any]:
        return {"uuid": f"{of}{number}", "label": "oak", "occurrence": of, "img_type": "Camera-trap"}

    first = [shot(number, of) for of in ("long", "short") for number in range(2)]
    old = corpus.decide(first, camera_trap_max=3, name="old")
    # One shot of the short burst is offered again.
    new = [shot(2, "long"), shot(3, "long"), shot(1, "short"), shot(2, "short")]
    decided = verdicts(corpus.decide(new, generation=1, older=[old], camera_trap_max=3, name="new"))
    assert {uuid: (row["reason"], row["detail"]) for uuid, row in decided.items()} == {
        "long2": ("camera_trap_sequence", "4 images of one occurrence"),
        "long3": ("camera_trap_sequence", "4 images of one occurrence"),
        "short1": ("duplicate", "short1"),
        "short2": (None, None),
    }
    assert all(row["keep"] for row in verdicts(old).values()), "what an older generation has, it keeps"


def test_machine_observations_are_camera_trap_images_unless_typed_otherwise(corpus: Corpus) -> None:
    types = {"scan": "Museum Specimen: Insect", "sound": "Unidentified", "trap": "Camera-trap", "untold": None}
    images = [
        {"uuid": f"{of}{n}", "label": "oak", "occurrence": of, "img_type": kind, "basis": "MACHINE_OBSERVATION"}
        for of, kind in types.items()
        for n in range(3)
    ]
    decided = verdicts(corpus.decide(images, camera_trap_max=2))
    dropped = {uuid[:-1] for uuid, row in decided.items() if row["reason"] == "camera_trap_sequence"}
    assert dropped == {"trap", "untold"}


def test_cap_and_floor_count_the_older_generations_first(corpus: Corpus) -> None:
    old = corpus.decide([{"uuid": f"old{n}", "label": "oak"} for n in range(3)], name="old")
    new = [{"uuid": f"{label}{n}", "label": label} for label in ("oak", "raven") for n in range(3)]
    decided = verdicts(corpus.decide(new, generation=1, older=[old], taxa={"cap": 5, "floor": 4}, name="new"))
    reasons = Counter((row["label_id"], row["reason"]) for row in decided.values())
    assert reasons == {("oak", None): 2, ("oak", "over_cap"): 1, ("raven", "below_floor"): 3}


def test_an_empty_occurrence_id_is_not_an_occurrence(corpus: Corpus) -> None:
    images = [{"uuid": f"{n}", "label": "oak", "occurrence": empty} for n, empty in enumerate((None, "", "  "))]
    assert {row["occurrence"] for row in verdicts(corpus.decide(images)).values()} == {"md5 0", "md5 1", "md5 2"}


some_images = st.lists(
    st.fixed_dictionaries(
        {
            "label": st.sampled_from(["magpie", "raven", "oak", "crows", "nothing"]),
            "md5": st.sampled_from([f"m{n}" for n in range(25)]),
            "occurrence": st.sampled_from([None, "", *(f"o{n}" for n in range(8))]),
            "status": st.sampled_from(["ok", "ok", "ok", "failed"]),
        }
    ),
    max_size=30,
)


@pytest.mark.slow
@tries(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(first=some_images, second=some_images, share=st.sampled_from([0.2, 0.6, 0.95]), random=st.randoms())
def test_order_and_threads_change_nothing_and_splits_are_sound(
    tmp_path_factory: pytest.TempPathFactory, first: Any, second: Any, share: float, random: Any
) -> None:
    corpus = Corpus(tmp_path_factory.mktemp("corpus"))
    generations = [
        [KEPT, *(image | {"uuid": f"{generation}-{number:02d}"} for number, image in enumerate(images))]
        for generation, images in enumerate((first, second))
    ]
    old = corpus.decide(generations[0], val_share=share, name="old")
    new = corpus.decide(generations[1], generation=1, older=[old], val_share=share, name="new")
    shuffled = random.sample(generations[1], len(generations[1]))
    again = corpus.decide(
        shuffled, generation=1, older=[old], parts=3, threads=3, val_share=share, name="again",
        labels=random.sample(LABEL_ROWS, len(LABEL_ROWS)),
    )  # fmt: skip
    assert new.read_bytes() == again.read_bytes()
    assert json.loads(new.with_name("account.json").read_text()) == json.loads(
        again.with_name("account.json").read_text()
    )

    kept = [row for row in [*verdicts(old).values(), *verdicts(new).values()] if row["keep"]]
    assert len({row["md5"] for row in kept}) == len(kept)
    splits: dict[str, set[str]] = {}
    for row in kept:
        splits.setdefault(row["occurrence"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    settled = {row["occurrence"] for row in verdicts(old).values() if row["keep"]}
    for generation, path in ((0, old), (1, new)):
        rows = [row for row in kept if generation == 1 or not row["uuid"].startswith("1-")]
        trained = {row["label_id"] for row in rows if row["split"] == "train"}
        for row in verdicts(path).values():
            if row["keep"] and not (generation == 1 and row["occurrence"] in settled):
                assert row["label_id"] in trained


def test_deciding_by_spans_of_uuids_changes_nothing(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [
        {"uuid": f"{n:04d}", "label": ("oak", "magpie")[n % 2], "occurrence": f"o{n // 3}", "md5": f"m{n % 500}"}
        for n in range(600)
    ]
    at_once = verdicts(corpus.decide(images, name="at_once"))
    assert Counter(row["reason"] for row in at_once.values()) == {None: 500, "duplicate": 100}
    spans = [("", "0050"), ("0050", "0051"), ("0051", "0444"), ("0444", None)]
    monkeypatch.setattr("workflow_scripts.curate.decide.spans_of", lambda *_: spans)
    assert verdicts(corpus.decide(images, name="in_spans")) == at_once


def test_no_part_of_the_catalogue_is_read_again_for_each_span(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [{"uuid": f"{number:04d}", "label": "raven"} for number in range(40)]
    at_once = verdicts(corpus.decide(images, parts=2, name="at_once"))
    monkeypatch.setattr("workflow_scripts.curate.decide.spans_of", lambda *_: [("", "0020"), ("0020", None)])
    take = decide_module._set_span

    def parts_are_gone(*span: Any) -> None:
        for part in corpus.folder.glob("catalog-*.parquet"):
            part.unlink()
        take(*span)

    monkeypatch.setattr("workflow_scripts.curate.decide._set_span", parts_are_gone)
    assert verdicts(corpus.decide(images, parts=2, name="in_spans")) == at_once


def test_leftovers_of_a_killed_job_are_removed(corpus: Corpus) -> None:
    images = [{"uuid": "0", "label": "raven"}]
    out = corpus.decide(images, name="killed")
    left = out.parent / ".curate-x1"
    left.mkdir()
    (left / "catalog.parquet").touch()
    assert corpus.decide(images, name="killed") == out
    assert not left.exists()


def test_spans_begin_where_row_groups_do(tmp_path: Path) -> None:
    downloads = tmp_path / "downloads.parquet"
    with tables.connect() as connection:
        rows = "SELECT printf('%06d', range) AS uuid, 'failed' AS status, 1 AS attempts, 0 AS part FROM range(20_000)"
        empty = [
            column for column in GATHERED_DOWNLOADS.columns if column.name not in ("uuid", "status", "attempts", "part")
        ]
        nulls = ", ".join(f"NULL::{column.type} AS {tables.quoted(column.name)}" for column in empty)
        tables.write(connection, f"SELECT *, {nulls} FROM ({rows})", GATHERED_DOWNLOADS, downloads, row_group_rows=2048)
        found = spans_of(connection, downloads)
    assert found == [("", "008192"), ("008192", "016384"), ("016384", None)]


def test_about_val_share_of_the_occurrences_is_held_out(corpus: Corpus) -> None:
    images = [{"uuid": f"{n:04d}", "label": "oak", "occurrence": f"o{n // 2}"} for n in range(4000)]
    decided = verdicts(corpus.decide(images, val_share=0.1))
    assert 160 <= len({row["occurrence"] for row in decided.values() if row["split"] == "val"}) <= 240


def test_a_label_without_a_row_and_a_download_without_one_are_named(corpus: Corpus) -> None:
    with pytest.raises(InputError, match=r"\b1 label.*\bheron\b"):
        corpus.decide([{"uuid": "a", "label": "heron"}])
    good = corpus.decide([{"uuid": "a", "label": "oak"}], name="a")
    corpus.decide([{"uuid": "b", "label": "oak"}], name="b")
    with pytest.raises(InputError, match=r"\b1 image.*\bb\b"):
        decide(
            catalog=(corpus.folder / "catalog-b-0.parquet",),
            downloads=corpus.folder / "downloads-a.parquet",
            labels=corpus.folder / "labels-a.parquet",
            settings=CurateSettings(),
            out=corpus.folder / "c" / "verdicts.parquet",
            account=corpus.folder / "c" / "account.json",
        )
    assert good.exists() and not list((corpus.folder / "c").glob("*"))


def test_thresholds_make_refusals_of_what_judges_found(corpus: Corpus) -> None:
    found = [
        ("page", "museum", "text document", 0.31),
        ("faint", "museum", "text document", 0.29),
        ("herb", "museum", "plant", 0.9),
        ("night", "traps", "animal", 0.05),
        ("night", "traps", "person", 0.01),
        ("deer", "traps", "animal", 0.2),
        ("walker", "traps", "animal", 0.7),
        ("walker", "traps", "person", 0.8),
        ("both", "museum", "text document", 0.5),
        ("both", "traps", "animal", 0.0),
        ("blank", "museum", "unjudged", None),
        ("closed", "museum", "text document", 0.9),
    ]
    out = corpus.decide(
        [{"uuid": uuid, "label": "magpie"} for uuid in sorted({row[0] for row in found} - {"closed"} | {"unseen"})]
        + [{"uuid": "closed", "label": "magpie", "license": "CC-BY-NC-4.0"}],
        licences={"allow": ["CC-BY-4.0"], "unknown": "keep"},
        findings=[dict(zip(("uuid", "judge", "label", "score"), row, strict=True)) for row in found],
        refusals=[
            NO_PAGES,
            {"judge": "traps", "label": "animal", "reason": "empty", "below": 0.2},
            {"judge": "traps", "label": "person", "reason": "person", "at_least": 0.5},
        ],
    )
    refused = {uuid: row["detail"] for uuid, row in verdicts(out).items() if row["reason"] == "screened"}
    assert refused == {
        "page": "museum: text document",
        "night": "traps: empty",
        "walker": "traps: person",
        "both": "museum: text document",
    }
    assert verdicts(out)["closed"]["reason"] == "licence"
    assert {uuid for uuid, row in verdicts(out).items() if row["keep"]} == {"faint", "herb", "deer", "blank", "unseen"}
    assert read_account(out.with_name("account.json")).dropped == {"screened": 4, "licence": 1}
