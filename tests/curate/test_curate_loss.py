"""Images with unresolved names stop a run before its shards are written."""

from pathlib import Path
from typing import Any

import pytest

from tests.curate.inputs import LABEL_ROWS, Corpus, a_label
from tests.messages import says
from workflow_scripts.common.accounts import SourceRows, read_account
from workflow_scripts.common.config.loss import LossSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.curate.loss import check_loss

IMAGES = [{"uuid": f"good-{number}", "label": "oak"} for number in range(3)]
NAMELESS = [{"uuid": f"bad-{number}", "label": "nothing"} for number in range(4)]


def check(corpus: Corpus, images: list[dict[str, Any]], **more: Any) -> list[SourceRows]:
    out = corpus.decide(images, **more)
    account = out.with_name("account.json")
    check_loss(
        account=account,
        labels=corpus.folder / "labels-out.parquet",
        max_loss=LossSettings(),
        out=out.with_name("loss.json"),
    )
    return list(read_account(account).sources)


def test_unresolved_labels_are_listed_and_an_override_resolves_them(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    nameless = a_label("nothing", (None,) * 7, provider_scientific_name="bee no. 7", images=4)
    labels = [row for row in LABEL_ROWS if row["label_id"] != "nothing"]
    with pytest.raises(InputError) as caught:
        check(corpus, IMAGES + NAMELESS, labels=[*labels, nameless])
    said = str(caught.value)
    assert says(said, "curate", "source test", "4 of 7 images", "57.1 %", "unresolved 4", "'bee no. 7'")
    assert says(said, "labels-out.parquet", "taxonomy.overrides", "max_loss.sources.test: 0.58")
    # As `taxonomy.resolve` resolves a label that an override matches.
    named = a_label("nothing", ("Animalia", "Arthropoda", "", "", "", "Apis", "mellifera"))
    (source,) = check(corpus, IMAGES + NAMELESS, labels=[*labels, named])
    assert source == SourceRows("test", is_local=False, rows_in=7, kept=7, dropped={})


def test_placeholders_are_lost_unless_the_config_accepts_them(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    same = [
        {"uuid": f"p{number}", "label": label, "md5": "p"} for number, label in enumerate(("oak", "raven", "magpie"))
    ]
    with pytest.raises(InputError) as caught:
        check(corpus, [IMAGES[0], *same])
    assert says(str(caught.value), "3 of 4 images", "placeholder 3", "curate.placeholder_taxa")
    assert check(corpus, [IMAGES[0], *same], placeholder_taxa=4)[0].dropped.get("placeholder") is None


def test_what_settings_leave_out_is_not_lost(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    many = [{"uuid": f"m{number}", "label": "magpie"} for number in range(9)]
    (source,) = check(corpus, [IMAGES[0], *many], taxa={"exclude": ["Pica"]})
    assert source.dropped == {"taxon_excluded": 9}
