"""Messages about lost images and the last lines of a run, and the remedies that they name."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.download.conftest import picture
from tests.messages import says

pytestmark = pytest.mark.slow

NAMES = ("Pica hudsonia", "Corvus corax", "Quercus alba")


def own_photos(folder: Path, there: int, of: int) -> None:
    """A config of photos of one's own, and a table that names more of them than there are."""
    shipped = yaml.safe_load((folder / "config/config.yaml").read_text())
    architecture = shipped["model"]["architecture"]
    train = {name: value for name, value in shipped["train"].items() if name != "replay_batch"}
    source = {"name": "mine", "reader": "table", "table": "mine.csv"}
    config: dict[str, Any] = {"run": "mine", "corpus": "mine", "model": {"architecture": architecture}, "train": train}
    config |= {"generations": [{"parts": 1, "sources": [source]}], "shards": {"image_size": 64}, "shard_jobs": 1}
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    rows = [f"photos/{number}.jpg,{NAMES[number % 3]}" for number in range(of)]
    (folder / "mine.csv").write_text("\n".join(["path,species", *rows]) + "\n")
    (folder / "photos").mkdir()
    for number in range(there):
        (folder / f"photos/{number}.jpg").write_bytes(picture(number))


def test_missing_photos_stop_the_run_and_the_printed_command_recovers_them(fresh: Any) -> None:
    own_photos(fresh.folder, there=9, of=12)
    command = "snakemake data --profile profiles/local --configfile mine.yaml"
    done = fresh.typed(command)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    print(f"\n{last}")
    assert says(
        last, "error: ", "mine", "3 of 12 images", "missing_file 3", "g000.lost.csv", "(log: ", "g000.loss.log)"
    )
    assert not fresh.path("results/corpora/mine/curate").exists()
    for number in range(9, 12):
        fresh.path(f"photos/{number}.jpg").write_bytes(picture(number))
    (retry,) = re.findall(r"`(snakemake retry_failed[^`]*)`", last)
    done = fresh.typed(retry)
    assert done.returncode == 0, done.stderr
    print("\n".join(lines := done.stderr.splitlines()[-3:]))
    assert says("\n".join(lines), "3 images in, 3 kept", "result: results/corpora/mine/download")
    (data,) = re.findall(r"`(snakemake data[^`]*)`", "\n".join(lines))
    assert data == command
    done = fresh.typed(data)
    assert done.returncode == 0, done.stderr
    print("\n".join(lines := done.stderr.splitlines()[-4:]))
    assert says(
        "\n".join(lines), "corpus mine", "mine: 12 rows in, 12 kept", "labels: 3", "result: results/corpora/mine"
    )
    # A run that has nothing to do says the same.
    assert fresh.typed(data).stderr.splitlines()[-4:] == lines


def test_max_loss_continues_without_lost_images(fresh: Any) -> None:
    own_photos(fresh.folder, there=9, of=12)
    with fresh.path("mine.yaml").open("a") as config:
        config.write("max_loss: {sources: {mine: 0.25}}\n")
    options = "--profile profiles/local --configfile mine.yaml"
    last = fresh.typed(f"snakemake retry_failed {options}").stderr.splitlines()[-1]
    (fetch,) = re.findall(r"`(snakemake fetch[^`]*)`", last)
    assert fetch == f"snakemake fetch {options}"
    done = fresh.typed(fetch)
    assert done.returncode == 0, done.stderr
    done = fresh.typed(f"snakemake data {options}")
    assert done.returncode == 0, done.stderr
    print("\n".join(lines := done.stderr.splitlines()[-5:]))
    assert says("\n".join(lines), "12 rows in, 9 kept, 3 lost (missing_file 3)", "g000.lost.csv", "result: ")
    # What comes later is taken in, too, though there are finished shards.
    for number in range(9, 12):
        fresh.path(f"photos/{number}.jpg").write_bytes(picture(number))
    said = fresh.typed(f"snakemake retry_failed {options}").stderr
    (data,) = re.findall(r"`(snakemake data[^`]*)`", said.splitlines()[-2])
    done = fresh.typed(data)
    assert done.returncode == 0, done.stderr
    assert "mine: 12 rows in, 12 kept" in done.stderr
