"""A corpus of four photos and a run trained on it, written by hand."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.common.config.report import PublishSettings
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.images import decode, pdq
from workflow_scripts.common.tables import write_rows
from workflow_scripts.common.tars import write_tar
from workflow_scripts.contracts import (
    ATTRIBUTION,
    CATALOG,
    DOWNLOADS,
    GATHERED_DOWNLOADS,
    LABELS,
    REPLAY_INDEX,
    SHARD_INDEX,
    SHARD_MANIFEST,
    VERDICTS,
)
from workflow_scripts.report.corpus import describe_corpus
from workflow_scripts.report.publish_dataset import publish_dataset

PICA = {"kingdom": "Animalia", "phylum": "Chordata", "class": "Aves", "genus": "Pica", "species": "hudsonia"}
LICENCES = ("CC-BY-4.0", "CC-BY-ND-4.0", None, "CC0-1.0")


@dataclass(frozen=True)
class SmallCorpus:
    """Paths of the corpus and its run.

    Attributes:
        results: the results folder.
        photos: the original files of the photos.
        uuids: their uuids; the first two are for training, the third for validation, the last was left out.
    """

    results: Path
    photos: tuple[Path, ...]
    uuids: tuple[str, ...] = tuple(f"0000000{n}-0000-0000-0000-000000000000" for n in range(4))

    @property
    def corpus(self) -> Path:
        """The corpus's folder."""
        return self.results / "corpora/small"

    @property
    def run(self) -> Path:
        """The folder of the run that was trained on it."""
        return self.results / "runs/demo"


def photo(seed: int, quality: int = 90) -> bytes:
    """A picture with enough detail for a perceptual hash."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    packed = io.BytesIO()
    Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(packed, "JPEG", quality=quality)
    return packed.getvalue()


def make(folder: Path) -> SmallCorpus:
    """Write the corpus and the run."""
    made = SmallCorpus(folder / "results", tuple(folder / f"photo{n}.jpg" for n in range(4)))
    for number, path in enumerate(made.photos):
        path.write_bytes(photo(number))
    _write_tables(made)
    _write_shards(made)
    describe_corpus(
        name="small",
        shards=(made.corpus / "shards/g000",),
        labels=made.corpus / "taxonomy/labels.parquet",
        out=made.corpus / "corpus.json",
        composition=made.corpus / "composition.parquet",
    )
    _write_run(made)
    return made


def _write_tables(made: SmallCorpus) -> None:
    catalog, downloads, verdicts, attribution = [], [], [], []
    for number, (uuid, path) in enumerate(zip(made.uuids, made.photos, strict=True)):
        content = path.read_bytes()
        source = {
            "uuid": uuid,
            "data_source": "gbif",
            "source_id": str(number),
            "source_url": f"https://example.org/{number}.jpg",
            "publisher": "Museum",
            "license_name": "a licence" if LICENCES[number] else None,
            "license": LICENCES[number],
            "copyright_owner": "A. Person",
        }
        label = {**PICA, "kingdom": "Metazoa", "label_id": "magpie"}
        catalog.append(
            {**source, **label, "basisOfRecord": "HUMAN_OBSERVATION", "host": "x", "generation": 0, "part": 0}
        )
        place = {"part": 0, "tar": "images-00000.tar", "offset": 512, "size": 9}
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        fetched = {
            "status": "ok",
            "attempts": 1,
            "http_status": 200,
            "md5": md5,
            "pdq": pdq(decode(content)),
        }
        downloads.append({"uuid": uuid, **fetched, **place})
        kept = number < 3
        fate = {"keep": kept, "split": ("train", "train", "val", None)[number], "reason": None if kept else "duplicate"}
        verdicts.append({"uuid": uuid, "label_id": "magpie", "md5": md5, **fate, **place})
        if kept:
            attribution.append({**source, "cite": "10.15468/dl.abc"})
    label = {
        "label_id": "magpie",
        **{f"provider_{rank}": name for rank, name in (PICA | {"kingdom": "Metazoa"}).items()},
        **PICA,
        "scientific_name": "Pica hudsonia",
        "common_name": "black-billed magpie",
        "accepted_id": "col:7",
        "match_type": "exact",
        "strategy": "exact",
        "confidence": 1.0,
        "images": 4,
    }
    write_rows(catalog, CATALOG, made.corpus / "catalog/g000/part-0000.parquet")
    write_rows(downloads, GATHERED_DOWNLOADS, made.corpus / "download/g000.parquet")
    write_rows([label], LABELS, made.corpus / "taxonomy/labels.parquet")
    write_rows(verdicts, VERDICTS, made.corpus / "curate/g000/verdicts.parquet")
    write_rows(attribution, ATTRIBUTION, made.corpus / "curate/g000/attribution.parquet")


def _write_shards(made: SmallCorpus) -> None:
    for split, numbers in (("train", (0, 1)), ("val", (2,))):
        folder = made.corpus / "shards/g000" / split
        samples = [(made.uuids[n], {"jpg": photo(n, 60), "label_id.txt": b"magpie"}) for n in numbers]
        places = write_tar(folder / "shard-000000.tar", samples)
        tar = folder / "shard-000000.tar"
        rows = [
            {
                "uuid": made.uuids[number],
                "shard": tar.name,
                "position": position,
                "offset": place["jpg"].offset,
                "size": place["jpg"].size,
                "label_id": "magpie",
            }
            for position, (number, place) in enumerate(zip(numbers, places, strict=True))
        ]
        write_rows(rows, SHARD_INDEX, folder / "index.parquet")
        shard: dict[str, Any] = {"shard": tar.name, "samples": len(rows), "bytes": tar.stat().st_size}
        write_rows([shard | {"sha256": sha256_file(tar)}], SHARD_MANIFEST, folder / "manifest.parquet")


def _write_run(made: SmallCorpus) -> None:
    corpus = made.corpus
    tables = [corpus / "shards/g000/train" / name for name in ("manifest.parquet", "index.parquet")]
    labels = sha256_file(corpus / "taxonomy/labels.parquet")
    summary = {
        "steps": 10,
        "samples": 20,
        "replay_samples": 0,
        "parameters": 1000,
        "skipped": 0,
        "broken_samples": [],
        "best": {"step": 0},
        "last": {"epoch": 10.0, "loss": 0.5, "logit_scale": 15.0},
        "settings": {"lr": 1e-3},
        "model": {"start": None},
        "digests": {
            "code": "c0de",
            "data": {"biology": [{"labels": labels, "train": [*map(sha256_file, tables)]}], "replay": None},
            "start": [],
        },
        "versions": {"torch": "2"},
    }
    facts = {
        "run": "demo",
        "corpus": json.loads((corpus / "corpus.json").read_text()),
        "config": {"run": "demo", "corpus": "small", "train": {"lr": 1e-3}},
        "digests": {"summary": "0" * 64},
        "trained_from": summary["digests"],
        "versions": {"torch": "2"},
        "costs": [],
    }
    for name, value in (("train/summary.json", summary), ("report/run.json", facts)):
        (made.run / name).parent.mkdir(parents=True, exist_ok=True)
        (made.run / name).write_text(json.dumps(value))
    (made.run / "model").mkdir()
    (made.run / "model/open_clip_model.safetensors").write_bytes(b"weights")
    (made.run / "model/open_clip_config.json").write_text('{"model_cfg": {}}')
    known = f"Full SHA-256 digest of the corpus: `{facts['corpus']['digest']}`."
    (made.run / "model/README.md").write_text(
        f"# demo\n\n## Training\n\n10 steps.\n\n## Scores\n\nold\n\n## Data and code\n\n{known}\n"
    )


def publish(made: SmallCorpus, **settings: Any) -> Path:
    """Publish the corpus with these settings; return the published folder."""
    corpus = made.corpus
    publish_dataset(
        catalog=(corpus / "catalog/g000/part-0000.parquet",),
        attribution=(corpus / "curate/g000/attribution.parquet",),
        labels=corpus / "taxonomy/labels.parquet",
        shards=(corpus / "shards/g000",),
        identity=corpus / "corpus.json",
        config='{"run": "demo"}',
        settings=PublishSettings(**({"authors": ["A. Group"]} | settings)),
        work=made.run / ".work/publish",
        out_dir=made.run / "publish/dataset",
    )
    return made.run / "publish/dataset"


def add_replay(made: SmallCorpus, photo: Path) -> Path:
    """Make a photo a replay pair for training; return the manifest of the replay shards."""
    md5 = hashlib.md5(photo.read_bytes(), usedforsecurity=False).hexdigest()
    replay = made.corpus / "replay"
    fetched = {"uuid": "r", "status": "ok", "attempts": 1, "md5": md5}
    write_rows([fetched], DOWNLOADS, replay / "download/part-0000/manifest.parquet")
    place = {"uuid": "r", "shard": "shard-000000.tar", "position": 0, "offset": 512, "size": 9, "caption": "a bird"}
    write_rows([place], REPLAY_INDEX, replay / "train/index.parquet")
    shard = {"shard": "shard-000000.tar", "samples": 1, "bytes": 10_240, "sha256": "a" * 64}
    write_rows([shard], SHARD_MANIFEST, replay / "train/manifest.parquet")
    return replay / "train/manifest.parquet"
