"""Read local image files, with the same bounds as HTTP bodies."""

import stat
from pathlib import Path

from workflow_scripts.download.attempts import Attempt, Fault
from workflow_scripts.download.memory import Room


def get(path: str, attempt: Attempt, max_bytes: int, room: Room) -> bytes:
    """The bytes of the regular file at the absolute path `path`.

    Raises:
        Fault: the file does not exist, cannot be read, or is longer than `max_bytes`.
    """
    attempt.begin()
    try:
        file = Path(path)
        if not file.is_absolute():
            raise Fault("missing_file", "not an absolute path")
        # Pipes and devices may never end.
        if not stat.S_ISREG(file.stat().st_mode):
            raise Fault("missing_file", "not a regular file")
        with file.open("rb") as opened:
            room.grow(min(file.stat().st_size, max_bytes) + 1)
            data = opened.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise Fault("missing_file", getattr(error, "strerror", None) or str(error)) from None
    if len(data) > max_bytes:
        raise Fault("too_large", f"more than {max_bytes} bytes", status="refused")
    return data
