"""`make device`: the trainer on one GPU in under eight minutes, into `<results>/device.json`.

It downloads nothing and needs the machine's own PyTorch (2.11 or newer) and the packages of `envs/device.in`. Rows run
in order of importance. A row that would not finish in time is listed under `skipped`; one that fails has its error
instead of results. Exit status: 0; 1 if a row failed or is not `within` its bounds; 2 if the machine lacks something.
With SMALL=1, tiny models run on any device, and the rows go to `device-small.json`.
"""

import faulthandler
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

from device_imports import only_what_clip_needs
from rows import ROOT, SMALL, sized

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json

OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 11)
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# Filled by `make device-packages`, for a machine that lacks some packages.
CARRIED = ROOT / ".device" / PYTHON_VERSION
# Seconds from the start until the last row must end, and until the process is killed if it hangs.
BUDGET = float(os.environ.get("DEVICE_SECONDS", "440"))
HARD_STOP = BUDGET + 25


@dataclass(frozen=True)
class Check:
    """One row.

    Attributes:
        name: name of the measurement.
        seconds: time limit; the row starts only if this much time is left, and is stopped after it.
        measure: returns a dataclass, with `within` if there are bounds.
    """

    name: str
    seconds: float
    measure: Callable[[], Any]


class OutOfTimeError(BaseException):
    """A row exceeded its time limit. Not an Exception, so that no library catches it."""


def checks(rows: ModuleType, machine: Any) -> Iterator[Check]:
    """The measurements, most important first.

    Batches fit 80 GB without recomputation; on a smaller GPU the trainer splits them into microbatches.
    """
    base, large, huge = "ViT-B-16", "ViT-L-14", "ViT-H-14"
    # Pairs per GPU of BioCLIP and BioCLIP 2; those of BioCLIP 2.5 are not published.
    recipes = {base: sized((4096,), (8,)), large: sized((2816, 320), (6, 2)), huge: sized((2816, 320), (6, 2))}
    pairs = {base: sized(512, 8), large: sized(256, 8), huge: sized(128, 8)}

    def training(model: str, precision: str, seconds: float, *, compiled: bool = False) -> Check:
        name = f"training {model} {precision}{' compiled' if compiled else ''}"
        return Check(name, seconds, partial(rows.training, machine, model, precision, pairs[model], compiled=compiled))

    def beside(model: str, precision: str, seconds: float) -> Check:
        measure = partial(rows.beside_open_clip, machine, model, precision, pairs[model])
        return Check(f"beside open_clip_train {model} {precision}", seconds, measure)

    def rehearsal(model: str, precision: str, seconds: float, *, recomputed: bool, **others: Any) -> Check:
        name = f"rehearsal {model} {precision}{' checkpointing' if recomputed else ''}"
        if memory := others.get("memory_gb"):
            name = f"{name} in {memory} GB"
        given = {"grad_checkpointing": recomputed, **others}
        return Check(name, seconds, partial(rows.rehearsal, machine, model, precision, recipes[model], **given))

    yield Check(f"correctness {base}", 90, partial(rows.correctness, machine, base))
    yield training(base, "bf16", 30)
    yield training(base, "bf16", 90, compiled=True)
    yield training(large, "bf16", 30)
    yield training(large, "bf16", 100, compiled=True)
    yield training(huge, "pure_bf16", 45)
    yield beside(base, "bf16", 30)
    yield rehearsal(base, "bf16", 40, recomputed=False)
    yield rehearsal(large, "bf16", 50, recomputed=True)
    for model in (base, large, huge):
        yield Check(f"embedding {model}", 20, partial(rows.embedding, machine, model, sized(512, 8)))
    yield beside(large, "bf16", 40)
    yield beside(base, "pure_bf16", 30)
    for memory in (80, 141):
        yield rehearsal(huge, "pure_bf16", 40, recomputed=True, memory_gb=memory, steps=False)
        yield rehearsal(huge, "pure_bf16", 30, recomputed=False, memory_gb=memory, steps=False)


def main() -> int:
    """Measure, print and write each row as it comes."""
    began = time.monotonic()
    faulthandler.dump_traceback_later(HARD_STOP, exit=True)
    try:
        rows, results = ready()
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    machine = rows.find_machine()
    result: dict[str, Any] = {"machine": asdict(machine), "small": SMALL, "rows": [], "skipped": []}

    def record(kind: str, entry: Any, line: str) -> None:
        result[kind].append(entry)
        write_json(results / sized("device.json", "device-small.json"), result | {"seconds": round(spent(), 1)})
        print(line, flush=True)

    def spent() -> float:
        return time.monotonic() - began

    good = True
    for check in checks(rows, machine):
        if BUDGET - spent() < check.seconds:
            record("skipped", check.name, f"{check.name}: skipped, {BUDGET - spent():.0f} s left of {BUDGET:.0f}")
            continue
        started = spent()
        try:
            with at_most(check.seconds):
                found = asdict(check.measure())
        except OutOfTimeError:
            record("skipped", check.name, f"{check.name}: stopped after {check.seconds:.0f} s")
        except Exception as error:
            good = False
            said = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            record("rows", {"row": check.name, "error": said}, f"{check.name}: failed: {said}")
        else:
            good = good and found.get("within", True)
            seconds = round(spent() - started, 1)
            record("rows", {"row": check.name, "seconds": seconds, **found}, f"{check.name}: {summary(found)}")
        # A row that was stopped may have left tensors on the device.
        rows.free()
    print(f"{len(result['rows'])} rows, {len(result['skipped'])} skipped, {spent():.0f} s", flush=True)
    return 0 if good else 1


def ready() -> tuple[ModuleType, Path]:
    """The measurements, and the folder of results.

    Raises:
        InputError: the machine lacks something; the message says what to do.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise InputError(f"{sys.executable} is Python {PYTHON_VERSION}; 3.11 or newer is needed")
    sys.path.insert(1, str(CARRIED))
    try:
        torch = importlib.import_module("torch")
        importlib.import_module("numpy")
    except ModuleNotFoundError as error:
        raise InputError(
            f"{sys.executable} has no {error.name}; give a Python that has PyTorch and NumPy: make device PYTHON=PATH"
        ) from None
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < OLDEST_TORCH:
        raise InputError(f"{sys.executable} has PyTorch {torch.__version__}; 2.11 or newer is needed")
    if not SMALL and not torch.cuda.is_available():
        raise InputError("PyTorch sees no GPU here; SMALL=1 runs tiny models on the CPU")
    try:
        with only_what_clip_needs():
            rows = importlib.import_module("device_rows")
        from workflow_scripts.common.config.root import load_site
    except ModuleNotFoundError as error:
        raise InputError(
            f"{sys.executable} has no {error.name}; run `make device-packages PYTHON_VERSION={PYTHON_VERSION}` where "
            f"there is a package index, and copy {CARRIED.parent} here"
        ) from None
    if SMALL:
        # aot_eager traces blocks as on a GPU, without generating machine code, which needs a compiler.
        torch.compiler.set_stance("default", force_backend="eager")
    return rows, Path(load_site().results)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise OutOfTimeError in the block after `seconds`."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise OutOfTimeError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def summary(found: dict[str, Any]) -> str:
    """A row's numbers in one line."""
    numbers = {key: value for key, value in found.items() if isinstance(value, float | bool)}
    for part in ("speed", "ours", "theirs"):
        numbers |= {f"{part}.{key}": value for key, value in found.get(part, {}).items() if value is not None}
    return ", ".join(f"{key} {value if isinstance(value, bool) else f'{value:.4g}'}" for key, value in numbers.items())


if __name__ == "__main__":
    sys.exit(main())
