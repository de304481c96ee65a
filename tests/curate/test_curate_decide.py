"""Every catalogue row gets one verdict, for the first reason that applies, whatever the order of the rows."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.curate import CurateSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import CATALOG, GATHERED_DOWNLOADS, LABELS, VERDICT_REASONS, VERDICTS
from workflow_scripts.curate.decide import decide

MAGPIE = ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Pica", "hudsonia")
RAVEN = ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Corvus", "corax")
OAK = ("Plantae", "Tracheophyta", "Magnoliopsida", "Fagales", "Fagaceae", "Quercus", "alba")
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")


def a_label(label_id: str, ranks: Sequence[str | None], **more: Any) -> dict[str, Any]:
    known = [rank for rank, name in zip(RANKS, ranks, strict=True) if name]
    genus, epithet = ranks[-2:]
    lowest = next((name for name in reversed(ranks) if name), None)
    return {
        "label_id": label_id,
        **dict(zip(RANKS, ranks, strict=True)),
        "scientific_name": f"{genus} {epithet}" if epithet else lowest,
        "match_type": "exact" if known else "none",
        "strategy": "exact" if known else "none",
        "confidence": 1.0,
        "resolved_rank": known[-1] if known else None,
        "reason": None if known else "no name",
        "images": 1,
    } | more


LABEL_ROWS = [
    a_label("magpie", MAGPIE),
    a_label("raven", RAVEN),
    a_label("oak", OAK),
    a_label("crows", (*MAGPIE[:5], None, None)),
    a_label("nothing", (None,) * 7),
]


class Corpus:
    """A catalogue with its downloads in a folder, to be decided on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def decide(
        self,
        images: Sequence[dict[str, Any]],
        *,
        generation: int = 0,
        parts: int = 1,
        older: Sequence[Path] = (),
        labels: Sequence[dict[str, Any]] = LABEL_ROWS,
        threads: int = 1,
        name: str = "out",
        **settings: Any,
    ) -> Path:
        """Decide on `images`: each a dict with uuid, label and whatever differs from a good image."""
        self.folder.mkdir(exist_ok=True)
        catalog, downloads = [], []
        for image in images:
            row = {"status": "ok", "md5": image["uuid"], "error": None, "crop": None, "occurrence": None} | image
            ok = row["status"] == "ok"
            catalog.append(
                {
                    "uuid": row["uuid"],
                    "label_id": row["label"],
                    "data_source": "test",
                    "source_url": f"http://a.test/{row['uuid']}",
                    "host": "a.test",
                    "crop": row["crop"],
                    "occurrence_id": row["occurrence"],
                    "generation": generation,
                    "part": 0,
                }
            )
            downloads.append(
                {
                    "uuid": row["uuid"],
                    "status": row["status"],
                    "error": row["error"],
                    "attempts": 1,
                    "md5": row["md5"] if ok else None,
                    "original_width": row.get("width", 400) if ok else None,
                    "original_height": row.get("height", 300) if ok else None,
                    "tar": "00000.tar" if ok else None,
                    "offset": 512 if ok else None,
                    "size": 9 if ok else None,
                    "part": 0,
                }
            )
        pieces = []
        for part in range(parts):
            pieces.append(self.folder / f"catalog-{name}-{part}.parquet")
            tables.write_rows(catalog[part::parts], CATALOG, pieces[-1])
        tables.write_rows(downloads, GATHERED_DOWNLOADS, self.folder / f"downloads-{name}.parquet")
        tables.write_rows(labels, LABELS, self.folder / f"labels-{name}.parquet")
        out = self.folder / name / "verdicts.parquet"
        decide(
            catalog=tuple(pieces),
            downloads=self.folder / f"downloads-{name}.parquet",
            labels=self.folder / f"labels-{name}.parquet",
            older=tuple(older),
            settings=CurateSettings.model_validate({"val_share": 0.0} | settings),
            out=out,
            account=out.with_name("account.json"),
            memory_mb=256,
            threads=threads,
        )
        return out


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


def verdicts(path: Path) -> dict[str, dict[str, Any]]:
    return {row["uuid"]: row for row in tables.read_rows(path, VERDICTS).to_pylist()}


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
    ({"uuid": "p1", "md5": "ph", "label": "raven"}, "placeholder", "one picture under 3 species"),
    ({"uuid": "p2", "md5": "ph", "label": "magpie"}, "placeholder", "one picture under 3 species"),
    ({"uuid": "p3", "md5": "ph", "label": "oak"}, "taxon_excluded", "plantae"),
]


def test_each_trouble_gets_its_reason_and_the_sums_hold(corpus: Corpus) -> None:
    images = [{"label": "magpie"} | image for image, _, _ in TROUBLES]
    out = corpus.decide(images, taxa={"exclude": ["Plantae"]})
    decided = verdicts(out)
    assert {uuid: (row["reason"], row["detail"]) for uuid, row in decided.items()} == {
        image["uuid"]: (reason, detail) for image, reason, detail in TROUBLES
    }
    assert all(row["keep"] == (row["reason"] is None) == (row["split"] is not None) for row in decided.values())
    account = read_account(out.with_name("account.json"))
    assert account.rows_in == len(images)
    assert account.dropped == Counter(reason for _, reason, _ in TROUBLES if reason)
    assert set(account.dropped) == set(VERDICT_REASONS), "a reason has no case in this test"


@pytest.mark.parametrize("first", range(len(VERDICT_REASONS) - 1))
def test_the_first_reason_of_the_documented_order_is_given(corpus: Corpus, first: int) -> None:
    """An image with every trouble from `first` on, as far as they can meet in one image."""
    by_reason: dict[str, dict[str, Any]] = {
        "download_failed": {"status": "failed", "error": "timeout"},
        "unreadable": {"status": "failed", "error": "truncated"},
        "too_small": {"width": 10},
        "unresolved": {"label": "nothing"},
        "taxon_excluded": {"label": "bad_crows"},
        "rank_too_high": {"label": "crows"},
        "placeholder": {},
        "duplicate": {},
    }
    wrong: dict[str, Any] = {}
    for reason in reversed(VERDICT_REASONS[first:]):
        wrong |= by_reason[reason]
    others = [{"uuid": f"a{label}", "md5": "same", "label": label} for label in ("magpie", "raven", "oak")]
    image = {"uuid": "z", "md5": "same", "label": "raven"} | wrong
    labels = [*LABEL_ROWS, a_label("bad_crows", ("Animalia", "Chordata", "Aves", "Bad", "Corvidae", None, None))]
    wanted = [*others, image] if VERDICT_REASONS[first] != "duplicate" else [others[1], image]
    out = corpus.decide(wanted, labels=labels, taxa={"exclude": ["bad"]})
    assert verdicts(out)["z"]["reason"] == VERDICT_REASONS[first]


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
def test_a_name_that_is_no_taxon_is_refused_with_a_guess(corpus: Corpus, key: str) -> None:
    image = {"uuid": "a", "label": "magpie"}
    with pytest.raises(InputError, match=rf"curate\.taxa\.{key}: Corvidea is no taxon .*did you mean corvidae\?"):
        corpus.decide([image], taxa={key: ["Aves", "Corvidea"]})
    with pytest.raises(InputError, match="hudsonia is no taxon"):
        corpus.decide([image], taxa={key: ["hudsonia"]})


def test_an_older_generations_image_wins_and_its_verdict_is_not_asked_again(corpus: Corpus) -> None:
    old = corpus.decide([{"uuid": "z", "md5": "x", "label": "magpie"}], name="old")
    new = [
        {"uuid": "a", "md5": "x", "label": "magpie"},
        {"uuid": "b", "md5": "y", "label": "magpie"},
        # The same record again, whose host sends other bytes by now.
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


def test_an_occurrence_held_in_val_stays_there_even_for_a_species_without_training_images(corpus: Corpus) -> None:
    flock = [{"uuid": f"{n:02d}", "label": "magpie", "occurrence": f"nest {n}"} for n in range(20)]
    old = corpus.decide(flock, val_share=0.5, name="old")
    held = next(row for row in verdicts(old).values() if row["split"] == "val")
    # The same specimen photographed again, by somebody who calls it a raven; there is no other raven.
    new = {"uuid": "r", "label": "raven", "occurrence": held["occurrence"].removeprefix("occurrence ")}
    out = corpus.decide([new], generation=1, older=[old], val_share=0.5, name="new")
    assert verdicts(out)["r"]["split"] == "val"
    assert read_account(out.with_name("account.json")).notes == {"taxa": 1, "taxa in train": 0, "train": 0, "val": 1}


def test_an_empty_occurrence_id_is_no_occurrence(corpus: Corpus) -> None:
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


@tries(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=some_images, second=some_images, share=st.sampled_from([0.2, 0.6, 0.95]), random=st.randoms())
def test_order_and_threads_change_nothing_and_splits_are_sound(
    tmp_path_factory: pytest.TempPathFactory, first: Any, second: Any, share: float, random: Any
) -> None:
    corpus = Corpus(tmp_path_factory.mktemp("corpus"))
    generations = [
        [image | {"uuid": f"{generation}-{number:02d}"} for number, image in enumerate(images)]
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
        rows = [row for row in kept if generation == 1 or row["uuid"].startswith("0-")]
        trained = {row["label_id"] for row in rows if row["split"] == "train"}
        for row in verdicts(path).values():
            if row["keep"] and not (generation == 1 and row["occurrence"] in settled):
                assert row["label_id"] in trained


def test_about_the_asked_share_of_the_occurrences_is_held_out(corpus: Corpus) -> None:
    images = [{"uuid": f"{n:04d}", "label": "oak", "occurrence": f"o{n // 2}"} for n in range(4000)]
    decided = verdicts(corpus.decide(images, val_share=0.1))
    assert 160 <= len({row["occurrence"] for row in decided.values() if row["split"] == "val"}) <= 240


def test_a_label_without_a_row_and_a_download_without_one_are_named(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="1 labels of the catalogue are missing, the first: heron"):
        corpus.decide([{"uuid": "a", "label": "heron"}])
    good = corpus.decide([{"uuid": "a", "label": "oak"}], name="a")
    corpus.decide([{"uuid": "b", "label": "oak"}], name="b")
    with pytest.raises(InputError, match="1 images of the catalogue have no row here, the first: b"):
        decide(
            catalog=(corpus.folder / "catalog-b-0.parquet",),
            downloads=corpus.folder / "downloads-a.parquet",
            labels=corpus.folder / "labels-a.parquet",
            settings=CurateSettings(),
            out=corpus.folder / "c" / "verdicts.parquet",
            account=corpus.folder / "c" / "account.json",
        )
    assert good.exists() and not (corpus.folder / "c").exists()
