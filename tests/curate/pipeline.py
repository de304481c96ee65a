"""Local images become shards by the real steps, in the workflow's layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.curate.inputs import LABEL_ROWS
from workflow_scripts.common import images, tables
from workflow_scripts.common.config.curate import CurateSettings
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.config.replay import ReplaySettings
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.contracts import CATALOG, LABELS, REPLAY_SELECTION
from workflow_scripts.curate.decide import decide
from workflow_scripts.download import gather as downloads
from workflow_scripts.download.fetch import fetch
from workflow_scripts.replay.write import write as write_replay
from workflow_scripts.shards import gather as shards
from workflow_scripts.shards.plan import plan
from workflow_scripts.shards.write import write

DOWNLOAD = DownloadSettings(min_size=48, max_size=96, images_per_tar=20)
CURATE = CurateSettings(min_size=48, val_share=0.2)
SHARDS = ShardSettings(image_size=32, samples_per_shard=16)
REPLAY = ReplaySettings(metadata=["pairs.parquet"], shards=SHARDS)


class Pipeline:
    """A corpus of local images, with two download parts per generation."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.corpus = results / "corpora" / "small"
        self.ledger = results / "ledgers" / "small.parquet"
        self.past_images = results / "ledgers" / "small.held"
        self.labels = results / "labels.parquet"
        tables.write_rows(LABEL_ROWS, LABELS, self.labels)

    def catalog(self, generation: int, numbers: Sequence[int], **more: Any) -> None:
        """Add photos to the catalog by number; photos with the same number are the same file in all generations."""
        rows = []
        for place, number in enumerate(numbers):
            row: dict[str, Any] = {
                "uuid": f"g{generation}-{number:04d}",
                "label_id": ("magpie", "raven", "oak")[number % 3],
                "data_source": "test",
                "source_url": str(self.photo(number)),
                "host": "",
                "copyright_owner": f"owner {number % 25}",
                "dataset_key": f"set {number % 5}",
                "occurrence_id": f"o{number // 2}",
                "generation": generation,
                "part": 2 * generation + place % 2,
            }
            rows.append(row | more)
        for part in self.parts(generation):
            some = [row for row in rows if row["part"] == part]
            tables.write_rows(some, CATALOG, self.corpus / f"catalog/g{generation:03d}/part-{part:04d}.parquet")

    def parts(self, generation: int) -> tuple[int, int]:
        return 2 * generation, 2 * generation + 1

    def build(self, generation: int) -> Path:
        """Download, curate and shard a generation; returns its shards' folder."""
        name = f"g{generation:03d}"
        catalog = tuple(self.corpus / f"catalog/{name}/part-{part:04d}.parquet" for part in self.parts(generation))
        for part, table in zip(self.parts(generation), catalog, strict=True):
            fetch(
                part=table, settings=DOWNLOAD, limits=DownloadLimits(threads=2), work=self.corpus / ".work/download",
                out_dir=self.corpus / f"download/part-{part:04d}", ledger=self.ledger,
            )  # fmt: skip
        gathered = self.corpus / f"download/{name}.parquet"
        downloads.gather(
            catalog=catalog,
            manifests=tuple(self.corpus / f"download/part-{p:04d}/manifest.parquet" for p in self.parts(generation)),
            parts=self.parts(generation), out=gathered, account=gathered.with_suffix(".json"),
            hosts=gathered.with_suffix(".hosts.parquet"), lost=gathered.with_suffix(".lost.csv"),
        )  # fmt: skip
        verdicts = self.corpus / f"curate/{name}/verdicts.parquet"
        decide(
            catalog=catalog, downloads=gathered, labels=self.labels, settings=CURATE, out=verdicts,
            account=verdicts.with_name("account.json"), ledger=(self.ledger,) if self.ledger.exists() else (),
            older=tuple(self.corpus / f"curate/g{n:03d}/verdicts.parquet" for n in range(generation)),
        )  # fmt: skip
        out = self.corpus / f"shards/{name}"
        plan(verdicts=verdicts, settings=SHARDS, groups=1, out=out / "plan.parquet")
        write(
            plan=out / "plan.parquet", downloads=self.corpus / "download", group=0, settings=SHARDS,
            work=self.corpus / ".work/shards", out_dir=out,
        )  # fmt: skip
        shards.gather(
            manifests=(out / "groups/group-000.manifest.parquet",), indexes=(out / "groups/group-000.index.parquet",),
            plan=out / "plan.parquet", out_dir=out, downloads=gathered, held=self.past_images,
        )  # fmt: skip
        return out

    def replay(self, numbers: Sequence[int]) -> Path:
        """Download and shard replay pairs of these photos, every fifth held out; returns the shards' folder."""
        folder = self.corpus / "replay"
        part = folder / "selection/part-0000.parquet"
        rows = [
            {
                "uuid": f"pair-{number:04d}",
                "source_url": str(self.photo(number)),
                "host": "",
                "caption": f"photo {number}",
                "split": "train" if number % 5 else "val",
                "part": 0,
            }
            for number in numbers
        ]
        tables.write_rows(rows, REPLAY_SELECTION, part)
        return self.build_replay()

    def build_replay(self) -> Path:
        """Download and shard the replay pairs that were chosen."""
        folder = self.corpus / "replay"
        selection = folder / "selection/part-0000.parquet"
        fetch(
            part=selection, settings=DOWNLOAD, limits=DownloadLimits(threads=2), work=self.corpus / ".work/download",
            out_dir=folder / "download/part-0000", ledger=self.ledger,
        )  # fmt: skip
        write_replay(
            selection=(selection,), manifests=(folder / "download/part-0000/manifest.parquet",), settings=REPLAY,
            work=self.corpus / ".work/replay", out_dir=folder, ledger=self.ledger, held=self.past_images,
        )  # fmt: skip
        return folder

    def photo(self, number: int) -> Path:
        """The file of a photo."""
        path = self.results / "photos" / f"{number:04d}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo(number))
        return path


def photo(number: int) -> bytes:
    """A unique picture, small enough to make hundreds of."""
    cells = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return images.encode_jpeg(np.asarray(cv2.resize(cells, (80, 60), interpolation=cv2.INTER_CUBIC), np.uint8), 95)
