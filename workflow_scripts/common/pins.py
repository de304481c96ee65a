"""Pinned stages: what they were made with stays, whatever changes upstream, until the pin is lifted by name.

The rules of such a stage name every value that could rerun them. The first run writes those values down beside the
stage's outputs; later runs use what was written, and say where the config or the code has moved on since.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json

RECORD = ".pin.json"


class Pins:
    """The values that a workflow's pinned stages hold.

    Args:
        folders: where each stage that can be pinned writes.
        pinned: the stages that are.
        lifted: pinned stages whose values are taken anew this time.
    """

    def __init__(self, folders: Mapping[str, Path], pinned: Collection[str], lifted: Collection[str]) -> None:
        self._folders = folders
        self._pinned = set(pinned)
        self._lifted = set(lifted)
        self._now: dict[str, dict[str, Any]] = {}
        self._recorded = {stage: _read(folders[stage] / RECORD) for stage in self._pinned}

    def holds(self, stage: str) -> bool:
        """Whether a stage is pinned and keeps what it was made with."""
        return stage in self._pinned - self._lifted and bool(self._recorded[stage])

    def held(self, stage: str, name: str, value: Any) -> Any:
        """The value that a stage was made with, or `value` where it was not made before or is not held."""
        self._now.setdefault(stage, {})[name] = value
        return self._recorded[stage].get(name, value) if self.holds(stage) else value

    def behind(self) -> list[str]:
        """A line for each stage that holds other values than the config and the code have now, or none yet."""
        lines = [
            f"{stage} is pinned, and was made before that: what has changed since is made again; "
            "the next run that does anything holds it from then on"
            for stage in sorted(self._pinned - self._lifted)
            if not self._recorded[stage] and self._folders[stage].exists()
        ]
        for stage in sorted(self._pinned):
            moved = [name for name, value in self._now.get(stage, {}).items() if self._moved(stage, name, value)]
            if self.holds(stage) and moved:
                lines.append(
                    f"{stage} is pinned and behind: {', '.join(moved)} changed; "
                    f"--config 'lift=[{stage}]' takes the change, with -n it shows the cost"
                )
        return lines

    def record(self) -> None:
        """Write down what the stages are made with from now on."""
        for stage in self._pinned:
            values = {name: self.held(stage, name, value) for name, value in self._now.get(stage, {}).items()}
            if values != self._recorded[stage]:
                write_json(self._folders[stage] / RECORD, values)

    def _moved(self, stage: str, name: str, value: Any) -> bool:
        return name in self._recorded[stage] and self._recorded[stage][name] != value


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: not readable ({error}); delete it to take what the config says for what was made"
        ) from None
