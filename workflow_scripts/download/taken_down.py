"""Images that were taken down for good are not taken in again, by id or by their bytes."""

import hashlib
from pathlib import Path

from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import LEDGER
from workflow_scripts.download.attempts import Fault


class TakenDown:
    """The corpus's ledger, which is small; refuses what stands in it.

    Args:
        ledger: the ledger (contract LEDGER), or None; one that does not exist is empty.
    """

    def __init__(self, ledger: Path | None) -> None:
        rows = read_rows(ledger, LEDGER) if ledger and ledger.exists() else None
        self._uuids = set(rows["uuid"].to_pylist()) if rows else set()
        self._md5s = set(rows["md5"].to_pylist()) - {None} if rows else set()

    def check_id(self, uuid: str) -> None:
        """Refuse an image by its id, before its host is asked.

        Raises:
            Fault: it was taken down.
        """
        if uuid in self._uuids:
            raise Fault("taken_down", status="refused")

    def check_bytes(self, body: bytes) -> None:
        """Refuse an image by its bytes, wherever they came from.

        Raises:
            Fault: they were taken down.
        """
        if self._md5s:
            self.check_md5(hashlib.md5(body, usedforsecurity=False).hexdigest())

    def check_md5(self, md5: str | None) -> None:
        """Refuse an image by the MD5 of its bytes.

        Raises:
            Fault: they were taken down.
        """
        if md5 in self._md5s:
            raise Fault("taken_down", "the same bytes as an image that was", status="refused")
