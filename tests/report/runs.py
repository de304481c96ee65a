"""Files of finished runs, written by hand."""

import json
from pathlib import Path
from typing import Any

from workflow_scripts.common.tables import write_rows
from workflow_scripts.contracts import PREDICTIONS


def predictions(path: Path, right: list[bool], first: str = "0.jpg") -> Path:
    """Write predictions that are correct where `right` says so."""
    rows = [
        {
            "position": n,
            "image": first if n == 0 else f"{n}.jpg",
            "class": "a",
            "predicted": "a",
            "score": 0.5,
            "correct": ok,
        }
        for n, ok in enumerate(right)
    ]
    write_rows(rows, PREDICTIONS, path)
    return path


def cost(step: str, owner: str, seconds: float, folders: dict[str, float] | None = None) -> dict[str, Any]:
    """A step's cost as in `run.json`."""
    return {"step": step, "owner": owner, "jobs": 1, "seconds": seconds, "memory_mb": 50.0, "folders": folders or {}}


def write_run(results: Path, name: str, lr: float, right: list[bool], images: str = "same") -> None:
    """Write the files of a finished run that a comparison reads."""
    folder = results / "runs" / name
    costs = [cost("train/run", "run", 100 * lr), cost("download", "corpus", 300.0)]
    costs += [cost("benchmarks", "shared", 7.0, {"tiny-01234567": 4.0, f"of_{name}-89abcdef": 3.0})]
    facts: dict[str, Any] = {"run": name, "corpus": {"name": "world", "id": "world:0"}, "versions": {"torch": "2"}}
    config: dict[str, Any] = {"run": name, "corpus": "world", "train": {"lr": lr, "seed": 1}}
    facts |= {"digests": {}, "config": config | {"benchmarks": {"tiny": {"layout": "csv"}}}, "costs": costs}
    described = {"benchmark": "tiny", "model": name, "protocol": "corrected", "n_images": len(right), "n_classes": 2}
    described |= {"metrics": {"zero_shot/top1": sum(right) / len(right)}, "inputs": {"images": images}}
    for file, value in (("report/run.json", facts), (f"scores/{name}/tiny.json", described)):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps(value))
    predictions(folder / f"scores/{name}/tiny.predictions.parquet", right)
    (folder / "train").mkdir()
    lines = [json.dumps({"step": step, "loss": lr * step}) for step in (1, 2)]
    (folder / "train/metrics.jsonl").write_text("\n".join(lines))
