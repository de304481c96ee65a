"""Inputs of a report, including hostile names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.protocols import PROTOCOLS
from workflow_scripts.common.tables import write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, COMPOSITION, EMBEDDING_MAP, LABELS, PREDICTIONS, RANKS

HOSTILE = "<script>alert('x')</script>"
CLASSES = ("Pica hudsonia", HOSTILE)
TOP1 = {"tiny": {"demo": 0.75, "start": 0.5}, "other": {"demo": 0.25, "start": 0.375}}


@pytest.fixture
def score_files(tmp_path: Path) -> list[Path]:
    """Scores of two models on two benchmarks, the baseline first, under the workflow's file names."""
    files = []
    for model in ("start", "demo"):
        for benchmark, of_model in TOP1.items():
            value = of_model[model]
            metrics = {
                "zero_shot/top1": value,
                "zero_shot/top3": 1.0,
                "zero_shot/top5": 1.0,
                "few_shot/1": value,
                "few_shot/1_std": 0.0125,
                "v1.0.1/few_shot/1": value + 0.001,
                "v1.0.1/few_shot/1_std": 0.02,
                "chance": 0.5,
            }
            path = tmp_path / "scores" / model / f"{benchmark}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            described = {"benchmark": benchmark, "model": model, "protocol": "corrected", "n_images": 8, "n_classes": 2}
            protocols = {
                **{f"zero_shot/top{k}": list(PROTOCOLS) for k in (1, 3, 5)},
                "few_shot/1": ["main-49e1cf5", "corrected"],
                "v1.0.1/few_shot/1": ["v1.0.1", "v2.0.0"],
            }
            left_out = {"few_shot/5": f"5-shot needs 6 images a class; '{HOSTILE}' has 4"}
            scored = {
                "metrics": metrics,
                "protocols": protocols,
                "left_out": left_out,
                "inputs": {"weights": f"w-{model}"},
            }
            path.write_text(json.dumps(described | scored))
            files.append(path)
    return files


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Eight images, of which the last file is missing."""
    rows = []
    for position in range(8):
        path = tmp_path / f"{position}.png"
        if position < 7:
            Image.new("RGB", (300, 200), (position * 30, 90, 120)).save(path)
        image = {
            "position": position,
            "image": path.name,
            "path": str(path),
            "md5": "0",
            "class": CLASSES[position % 2],
        }
        rows.append(image)
    write_rows(rows, BENCHMARK_IMAGES, tmp_path / "images.parquet")
    return tmp_path / "images.parquet"


@pytest.fixture
def predictions(tmp_path: Path, images: Path) -> list[Path]:
    """The run's model is correct on the first six images, the baseline on the first two and the last one."""
    files = []
    for model, right in (("start", {0, 1, 7}), ("demo", set(range(6)))):
        rows = [
            {
                "position": position,
                "image": f"{position}.png",
                "class": CLASSES[position % 2],
                "predicted": CLASSES[(position + (position not in right)) % 2],
                "score": 0.25,
                "correct": position in right,
            }
            for position in range(8)
        ]
        files.append(tmp_path / "scores" / model / "tiny.predictions.parquet")
        write_rows(rows, PREDICTIONS, files[-1])
    return files


@pytest.fixture
def accounts(tmp_path: Path) -> list[Path]:
    """Accounts of a small corpus in which curate receives every row of the catalog."""
    made = [
        Account("catalog", "one", "images", 60, 55, {"bad_url": 5}),
        Account("catalog", "two", "images", 50, 50, {}),
        Account("catalog", "generation 0", "images", 105, 100, {"same_record_twice": 5}),
        Account("download", "g000", "images", 100, 90, {"http_error": 10}),
        Account("taxonomy", "labels", "labels", 12, 11, {HOSTILE: 1}),
        Account("curate", "g000", "images", 100, 80, {"download_failed": 10, "unresolved": 10}),
        Account("shards", "g000", "samples", 80, 80, {}),
        Account("replay", "selection", "pairs", 40, 30, {"unsafe": 10}),
        Account("replay", "shards", "pairs", 30, 30, {}),
    ]
    paths = [tmp_path / "accounts" / f"{number}.json" for number in range(len(made))]
    for path, account in zip(paths, made, strict=True):
        write_account(path, account)
    return paths


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """Metrics of a training of forty steps with one validation."""
    lines: list[dict[str, Any]] = [
        {"step": step, "loss": 40 - step, "loss_replay": None, "lr": 1e-3, "logit_scale": 14.0, "text_type": "sci"}
        for step in range(1, 41)
    ]
    lines[19]["val_loss_biology"] = 2.5
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, Path]:
    """A corpus's identity and composition."""
    bird = dict(zip(RANKS, ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae"), strict=False))
    taxa = [
        bird | {"genus": "Pica", "species": "hudsonia", "images": 20},
        bird | {"genus": "Pica", "images": 5},
        bird | {"genus": HOSTILE, "images": 5},
    ]
    write_rows(taxa, COMPOSITION, tmp_path / "composition.parquet")
    counts: Any = {"images": {"train": 30, "val": 2}, "replay_pairs": {"train": 0, "val": 0}, "species": 1}
    counts |= {"shards": 1, "bytes": 3000, "taxa": 3}
    names = {"name": "world", "id": "world:0123456789abcdef", "digest": "0123456789abcdef" * 4}
    (tmp_path / "corpus.json").write_text(json.dumps(names | counts))
    return {"corpus_identity": tmp_path / "corpus.json", "composition": tmp_path / "composition.parquet"}


@pytest.fixture
def features(tmp_path: Path) -> dict[str, tuple[Path, ...]]:
    """Intrinsic scores and embedding maps of both models."""
    embedding_maps, intrinsic = [], []
    for model, value in (("start", 0.4), ("demo", 0.7)):
        rows = [
            {
                "position": position,
                "image": f"{position}.png",
                "class": "x",
                **({"taxon_genus": ("Pica", HOSTILE)[position % 3 % 2]} if position else {}),
                **({"taxon_species": "hudsonia"} if position % 2 else {}),
                "x": position * value,
                "y": 0.0,
            }
            for position in range(8)
        ]
        embedding_maps.append(tmp_path / "intrinsic" / model / "tiny.tsne.parquet")
        write_rows(rows, EMBEDDING_MAP, embedding_maps[-1])
        found = dict.fromkeys(("triplet/mean", "triplet/species", "triplet/kingdom", "cophenetic"), value)
        other = "start" if model == "demo" else "demo"
        described = {
            "benchmark": "tiny",
            "model": model,
            "protocol": "intrinsic",
            "n_images": 8,
            "n_classes": 2,
            "metrics": found,
            "intervals": {metric: [value - 0.1, value + 0.1] for metric in found},
            "against": {other: {metric: {"difference": 0.3, "low": 0.1, "high": 0.5, "p": 0.001} for metric in found}},
        }
        intrinsic.append(tmp_path / "intrinsic" / model / "tiny.json")
        intrinsic[-1].write_text(json.dumps(described))
    return {"intrinsic": tuple(intrinsic), "embedding_maps": tuple(embedding_maps)}


@pytest.fixture
def logs(tmp_path: Path) -> dict[str, Any]:
    """Snakemake's benchmark files: one job is measured only in part, one shared job belongs to another run."""
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    jobs = {
        "own/download/part-0000.tsv": (60, "300", "1", "2", "3"),
        "own/download/part-0001.tsv": (20, "200", "2", "4", "1"),
        "own/download/g000.tsv": (10, "NA", "-", "-", "NA"),
        "shared/train/start-01234567.pretrain.tsv": (25, "50", "0", "0", "2"),
        "shared/train/other-89abcdef.pretrain.tsv": (99, "50", "0", "0", "2"),
    }
    for name, (seconds, rss, read, written, cpu) in jobs.items():
        path = tmp_path / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + f"{seconds}\t0\t{rss}\t0\t0\t0\t{read}\t{written}\t0\t{cpu}\n")
    (tmp_path / "logs/own/broken.tsv").write_bytes(b"\xff\xfe")
    folder = tmp_path / "logs"
    return {"run_logs": folder / "own", "shared_logs": folder / "shared", "shared": ("start-01234567",)}


@pytest.fixture
def optional(
    corpus: dict[str, Path], features: dict[str, tuple[Path, ...]], logs: dict[str, Any], metrics: Path
) -> dict[str, Any]:
    """Arguments besides scores and accounts."""
    return {**corpus, **features, **logs, "metrics": {"train": metrics}}


@pytest.fixture
def everything(
    tmp_path: Path, score_files: list[Path], predictions: list[Path], accounts: list[Path], optional: dict[str, Any]
) -> Callable[[], dict[str, Any]]:
    """Every argument of a report."""
    rows = [
        {"label_id": f"{number}", "match_type": "exact", "strategy": "exact", "confidence": 1.0, "images": 10}
        for number in range(3)
    ]
    write_rows(rows, LABELS, tmp_path / "labels.parquet")
    stats = {
        "by_source": [
            {"source": source, "strategy": strategy, "rank": rank, "labels": 1, "images": images}
            for source, strategy, rank, images in [
                ("gbif", "exact", "species", 1500),
                ("gbif", "fuzzy", "species", 20),
                ("gbif", "unresolved", "none", 7),
                (HOSTILE, "higher_rank", "genus", 3000),
            ]
        ],
        "costliest": [
            {"label_id": "9", "reason": "not_found", "detail": "no name", "written": HOSTILE, "images": 7},
        ],
        "lost_species": [
            {"label_id": "8", "resolved_rank": "genus", "scientific_name": "Aus", "detail": HOSTILE, "written": HOSTILE}
            | {"images": 5},
        ],
    }
    (tmp_path / "stats.json").write_text(json.dumps(stats))
    digests: Any = {"data": {"biology": [], "replay": None}, "start": [], "code": "c0de"}
    trained: Any = dict.fromkeys(("samples", "replay_samples", "parameters", "skipped"), 0)
    trained |= {"steps": 40, "last": {"loss": 0.12345, "epoch": 1.0, "logit_scale": 14.0}, "best": {"step": 0}}
    trained |= {"broken_samples": [], "model": {}, "settings": {}, "versions": {}, "digests": digests, "note": HOSTILE}
    (tmp_path / "summary.json").write_text(json.dumps(trained))
    return lambda: {
        "run": "demo",
        "corpus": "world",
        "config": json.dumps({"run": "demo", "note": HOSTILE}),
        "scores": tuple(score_files),
        "predictions": tuple(predictions),
        "benchmarks": {"tiny": tmp_path / "images.parquet"},
        "accounts": tuple(accounts),
        "labels": tmp_path / "labels.parquet",
        "taxonomy": tmp_path / "stats.json",
        "summary": tmp_path / "summary.json",
        "out": tmp_path / "report" / "index.html",
        **optional,
    }
