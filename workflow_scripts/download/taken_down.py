"""Refuse images that were taken down permanently, by id or by their bytes."""

import hashlib
from pathlib import Path

from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import LEDGER
from workflow_scripts.download.attempts import Fault


class TakenDown:
    """Refuses the images in a corpus's ledger. The ledger is small enough for memory.

    Args:
        ledger: the ledger (contract LEDGER); None or a missing file means an empty ledger.
    """

    def __init__(self, ledger: Path | None) -> None:
        rows = read_rows(ledger, LEDGER) if ledger and ledger.exists() else None
        self._uuids = set(rows["uuid"].to_pylist()) if rows else set()
        self._md5s = set(rows["md5"].to_pylist()) - {None} if rows else set()

    def check_id(self, uuid: str) -> None:
        """Check an image's id, before its host gets a request.

        Raises:
            Fault: the image was taken down.
        """
        if uuid in self._uuids:
            raise Fault("taken_down", status="refused")

    def check_bytes(self, body: bytes) -> None:
        """Check an image's bytes.

        Raises:
            Fault: an image with these bytes was taken down.
        """
        if self._md5s:
            self.check_md5(hashlib.md5(body, usedforsecurity=False).hexdigest())

    def check_md5(self, md5: str | None) -> None:
        """Check the MD5 of an image's bytes.

        Raises:
            Fault: an image with these bytes was taken down.
        """
        if md5 in self._md5s:
            raise Fault("taken_down", "the same bytes as an image that was", status="refused")
