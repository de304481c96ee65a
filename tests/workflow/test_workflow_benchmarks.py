"""A benchmark's folder that a person fills is read, whatever happens to the job that reads it."""

import hashlib
from pathlib import Path
from typing import Any

from PIL import Image

from workflow_scripts.common.config.evaluate import PlantdocBenchmark
from workflow_scripts.common.files import digest


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        + str(path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_forced_and_failing_runs_leave_a_persons_folder_alone(fresh: Any) -> None:
    plants = fresh.folder / "plants"
    spec = PlantdocBenchmark(layout="plantdoc", folder="plants")
    table = f"results/shared/benchmarks/plantdoc-{digest([spec.model_dump(mode='json'), ''])[:8]}/images.parquet"
    words = (table, "--config", "benchmarks={plantdoc: {layout: plantdoc, folder: plants}}")
    missing = fresh.snakemake(*words)
    assert missing.returncode != 0
    assert "benchmarks.plantdoc.folder (train): plants/train: no such file or folder (https://" in missing.stderr
    assert not plants.exists()
    for split in ("train", "test"):
        (plants / split / "Apple leaf").mkdir(parents=True)
        (plants / split / "Apple leaf" / "1.jpg").write_bytes(b"no picture")
    before = contents(plants)
    failed = fresh.snakemake(*words)
    assert failed.returncode != 0
    assert "benchmark plantdoc: none of its 2 images can be used" in failed.stdout + failed.stderr
    assert contents(plants) == before
    Image.effect_noise((64, 64), 90).convert("RGB").save(plants / "train" / "Apple leaf" / "1.jpg")
    before = contents(plants)
    fresh.run(*words)
    fresh.run(*words, "--forcerun", "benchmark_index")
    assert fresh.path(table).exists()
    assert contents(plants) == before
