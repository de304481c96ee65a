"""Images that are taken down disappear from findings and sample pages; everything else stays as it was."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.screen.conftest import Downloaded
from workflow_scripts.common import tables
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.stored_images import StoredImages
from workflow_scripts.contracts import LEDGER
from workflow_scripts.screen.clip import judge_by_class
from workflow_scripts.screen.forget import forget
from workflow_scripts.screen.gather import gather

TAKEN = {"u003", "u105"}


def uuids_in(folder: Path) -> dict[Path, set[str]]:
    """The uuids in each file below a folder."""
    found = {}
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            with tables.connect() as connection:
                rows = connection.execute(f"SELECT DISTINCT uuid FROM {tables.scan(path)}").fetchall()
            found[path] = {uuid for (uuid,) in rows}
        elif path.is_file():
            found[path] = {uuid for uuid in TAKEN if uuid.encode() in path.read_bytes()}
    return found


def test_a_takedown_reaches_findings_and_pages_and_nothing_is_judged_again(
    corpus: Downloaded, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = tmp_path / "classes.safetensors"
    save_file(
        {name: np.random.default_rng(seed).normal(size=16).astype(np.float32) for seed, name in enumerate("ab")},
        classes,
    )
    judge = {"model": model, "classes": classes, "group": corpus.group("museum")}
    files, folder = Corpus(str(corpus.folder)), corpus.folder / "screen" / "museum"
    judge_by_class(**judge)
    # A judge that was killed: its chunks are still there.
    unfinished = next(
        path
        for path in (corpus.folder / ".work" / "screen").iterdir()
        if "part-0000" in (path / "key.json").read_text()
    )
    (unfinished / "done.json").unlink()
    (unfinished / "seen.parquet").rename(unfinished / "chunk-00000.parquet")
    where = {"out": folder / "g000.parquet", "account": folder / "g000.account.json"}
    parts = tuple(folder / f"part-{part:04d}.parquet" for part in (0, 1))
    gather(name="museum", groups=(corpus.group("museum").account,), findings=parts, **where)
    Path(files.sample(judge="museum")).write_text("shows u003")
    Path(files.sample(judge="other")).parent.mkdir()
    Path(files.sample(judge="other")).write_text("shows u004")
    before = uuids_in(corpus.folder / "screen") | uuids_in(corpus.folder / ".work")
    assert sum(bool(uuids & TAKEN) for uuids in before.values()) >= 8

    images = tmp_path / "images.parquet"
    rows = [{"uuid": uuid, "date": "2026-01-31", "reason": "asked"} for uuid in sorted(TAKEN)]
    tables.write_rows(rows, LEDGER, images)
    for _ in range(2):
        forget(corpus=corpus.folder, images=images)
        after = uuids_in(corpus.folder / "screen") | uuids_in(corpus.folder / ".work")
        assert after == {
            path: uuids - TAKEN for path, uuids in before.items() if path.name != "sample.html" or "other" in path.parts
        }

    # The download forgets them too; no image is judged again.
    for part in (0, 1):
        corpus.drop(part, TAKEN)
    monkeypatch.setattr(StoredImages, "read", lambda self, stored: pytest.fail(f"{stored.uuid} was read"))
    judge_by_class(**judge)
    assert {row["uuid"] for row in corpus.findings("museum")} == before[where["out"]] - TAKEN
