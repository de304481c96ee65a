"""Takedowns in the download stage."""

from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.contracts import LEDGER
from workflow_scripts.download.forget import forget


def take_down(corpus: Path, *uuids: str) -> None:
    """Remove images from a corpus's downloads, as a takedown does."""
    named = corpus / "named.parquet"
    tables.write_rows([{"uuid": uuid, "date": "2026-01-31", "reason": "asked for"} for uuid in uuids], LEDGER, named)
    forget(corpus=corpus, images=named)
