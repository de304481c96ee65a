"""Benches of the trainer's loader, on one core, on data that they make: `loading.py NAME` prints its rows.

Rates are per second of this process's CPU time, so other load on the machine does not affect them.
"""

import functools
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import torch
import torch.distributed as dist
from rows import MeasuredValues, print_rows, sized

from workflow_scripts.common import open_clip_models, tables, tars
from workflow_scripts.common.captions import TEXT_TYPES, Taxon, caption, published_members
from workflow_scripts.common.config.train import CorpusShards, TrainSettings
from workflow_scripts.common.files import link, sha256_file
from workflow_scripts.contracts import LABELS, RANKS, SHARD_INDEX, SHARD_MANIFEST
from workflow_scripts.train.data import TrainingData
from workflow_scripts.train.loader import Batches, make_loader
from workflow_scripts.train.ranks import Ranks

PICTURES = sized(200, 4)
SAMPLES = sized(4000, 40)
PER_SHARD = sized(1000, 10)
SPECIES = sized(1500, 15)
BATCH = sized(250, 5)
ROUNDS = sized(3, 1)
MODEL = "ViT-B-16"
SETTINGS = TrainSettings(epochs=100, global_batch=BATCH, shuffle_window=4)
# Shards of a large epoch, all links to one tar.
MANY = sized(600, 6)
RESUMES = sized(7, 1)


def rates() -> Iterator[MeasuredValues]:
    """Images a second of the trainer's loader, beside open_clip_train's and bare decoding."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _rates(Path(folder))


def resuming() -> Iterator[MeasuredValues]:
    """Seconds to the first batch within a large epoch."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _resuming(Path(folder))


def _rates(folder: Path) -> Iterator[MeasuredValues]:
    jpegs = [_photo(number) for number in range(PICTURES)]
    taxa = [_taxon(number) for number in range(SPECIES)]
    _write_labels(taxa, folder / "labels.parquet")
    _write_shards(jpegs, folder / "shards" / "train")
    peer = _write_captioned(jpegs, taxa, folder / "peer")
    published = _write_captioned(jpegs, taxa, folder / "published", published=True)
    ours, theirs, theirs_published, bare = [], [], [], []
    steps = iter(make_loader(_batches(folder), range(10**6), 0, pin=False))
    # A first pass fills the cache of tokenised words.
    _rate(steps)
    for _ in range(ROUNDS):
        ours.append(_rate(steps))
        theirs.append(_rate(iter(_peer_loader(peer))))
        theirs_published.append(_rate(iter(_peer_loader(published))))
        bare.append(_decode_rate(jpegs))
    yield ("loader_images_per_core", max(ours), "/s", "open_clip_train's webdataset loader, one caption", max(theirs))
    yield (
        "loader_images_per_core_published",
        max(ours),
        "/s",
        "the same loader, published layout, its five captions tokenised as BioCLIP 2's code does",
        max(theirs_published),
    )
    yield ("loader_share_of_decode", max(ours), "/s", "simplejpeg decode alone", max(bare))


def _rate(batches: Iterator[Sequence[torch.Tensor]]) -> float:
    """Images a second of CPU time, over one pass."""
    next(batches)
    started, count = time.process_time(), 0
    while count < SAMPLES - 2 * BATCH:
        count += len(next(batches)[0])
    return count / (time.process_time() - started)


def _decode_rate(jpegs: Sequence[bytes]) -> float:
    started = time.process_time()
    for number in range(SAMPLES):
        simplejpeg.decode_jpeg(jpegs[number % PICTURES], colorspace="RGB")
    return SAMPLES / (time.process_time() - started)


def _resuming(folder: Path) -> Iterator[MeasuredValues]:
    """Seconds to the first batch in the middle of a large epoch, compared with its start; files are reopened."""
    _write_labels([_taxon(number) for number in range(SPECIES)], folder / "labels.parquet")
    _write_shards([_photo(number) for number in range(PICTURES)], folder / "shards" / "train")
    small, large = folder / "shards" / "train", folder / "large" / "train"
    first = tables.read_rows(small / "manifest.parquet", SHARD_MANIFEST).to_pylist()[0]
    rows = tables.read_rows(small / "index.parquet", SHARD_INDEX)
    rows = rows.slice(0, PER_SHARD)
    names = [f"shard-{number:06d}.tar" for number in range(MANY)]
    for name in names:
        link(small / first["shard"], large / name)
    shard = rows.schema.get_field_index("shard")
    groups = (rows.set_column(shard, "shard", [[name] * PER_SHARD]) for name in names)
    tables.write_row_groups(groups, SHARD_INDEX, large / "index.parquet")
    tables.write_rows([first | {"shard": name} for name in names], SHARD_MANIFEST, large / "manifest.parquet")
    samples = MANY * PER_SHARD
    places = {"start": 0, "middle": samples // 2 // BATCH}
    seconds: dict[str, list[float]] = {name: [] for name in places}
    for _ in range(RESUMES):
        for name, step in places.items():
            started = time.perf_counter()
            next(iter(make_loader(_batches(folder, folder / "large"), range(step, samples // BATCH), 0, pin=False)))
            seconds[name].append(time.perf_counter() - started)
    yield ("resume_seconds", min(seconds["middle"]), "s", "at the start of the epoch", min(seconds["start"]))


@functools.cache
def _tokenizer() -> Callable[[Sequence[str]], torch.Tensor]:
    return open_clip_models.open_clip.get_tokenizer(MODEL)


def _batches(folder: Path, shards: Path | None = None) -> Batches:
    corpus = CorpusShards(shards=[str(shards or folder / "shards")], labels=str(folder / "labels.parquet"))
    data = TrainingData((corpus,), None, SETTINGS)
    if not (folder / "labels-0").exists():
        data.prepare(folder)
    datasets = data.datasets("train", folder, _tokenizer(), 1)
    ranks = Ranks(0, 1, 0, 1, dist.HashStore())
    return Batches(datasets, size=224, types=SETTINGS.text_types, seed=0, ranks=ranks)


def _peer_loader(pattern: str) -> object:
    """open_clip's training loader, with the papers' augmentation."""
    from open_clip_train import data as peer

    # Unpatched, it fails with the webdataset version that img2dataset allows: KeyError 'fname'.
    peer.tar_file_expander = functools.partial(_expander(peer), eof_value=None)
    augmentation = open_clip_models.open_clip.transform.AugmentationCfg(scale=(0.9, 1.0))
    transform = open_clip_models.open_clip.image_transform(224, is_train=True, aug_cfg=augmentation)
    arguments = Namespace(
        train_data=pattern,
        train_num_samples=100 * SAMPLES,
        train_data_upsampling_factors=None,
        dataset_resampled=False,
        batch_size=BATCH,
        workers=0,
        world_size=1,
        seed=0,
    )
    return peer.get_wds_dataset(arguments, transform, is_train=True, tokenizer=_tokenise_lines).dataloader


def _tokenise_lines(text: str) -> torch.Tensor:
    """Tokenise every line; BioCLIP 2's code then draws one."""
    return torch.stack([_tokenizer()(line)[0] for line in text.split("\n")])


@functools.cache
def _expander(peer: object) -> Callable[..., object]:
    return peer.tar_file_expander  # type: ignore[attr-defined,no-any-return]


def _photo(number: int) -> bytes:
    """A JPEG of 224 px and about 20 KB, as in training shards."""
    random = np.random.default_rng(number)
    picture = np.zeros((224, 224, 3))
    for cells, depth in ((4, 60), (16, 30), (64, 8), (224, 3)):
        noise = random.normal(0, depth, (cells, cells, 3))
        picture += cv2.resize(noise, (224, 224), interpolation=cv2.INTER_CUBIC)
    pixels = np.clip(picture + 128, 0, 255).astype(np.uint8)
    return simplejpeg.encode_jpeg(pixels, quality=95, colorspace="RGB", colorsubsampling="420")


def _taxon(number: int) -> Taxon:
    ranks = ("Animalia", "Chordata", "Aves", "Passeriformes", f"Family{number % 40}idae", f"Genus{number % 300}")
    return Taxon((*ranks, f"species{number}"), f"Genus{number % 300} species{number}", f"common bird {number}")


def _label_id(number: int) -> str:
    return f"{number % SPECIES:032x}"


def _write_labels(taxa: Sequence[Taxon], path: Path) -> None:
    rows = [
        dict(zip(RANKS, taxon.ranks, strict=True))
        | {"label_id": _label_id(number), "scientific_name": taxon.scientific_name, "common_name": taxon.common_name}
        | {"match_type": "exact", "strategy": "exact", "confidence": 1.0, "images": 1}
        for number, taxon in enumerate(taxa)
    ]
    tables.write_rows(rows, LABELS, path)


def _write_shards(jpegs: Sequence[bytes], folder: Path) -> None:
    manifest, index = [], []
    for number in range(SAMPLES // PER_SHARD):
        name = f"shard-{number:06d}.tar"
        numbers = range(number * PER_SHARD, (number + 1) * PER_SHARD)
        members = [(f"{n:032x}", {"jpg": jpegs[n % PICTURES]}) for n in numbers]
        for position, spans in enumerate(tars.write_tar(folder / name, members)):
            row = {"uuid": members[position][0], "shard": name, "position": position, **spans["jpg"]._asdict()}
            index.append(row | {"label_id": _label_id(numbers[position])})
        sums = {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
        manifest.append({"shard": name, "samples": PER_SHARD, **sums})
    tables.write_rows(index, SHARD_INDEX, folder / "index.parquet")
    tables.write_rows(manifest, SHARD_MANIFEST, folder / "manifest.parquet")


def _write_captioned(jpegs: Sequence[bytes], taxa: Sequence[Taxon], folder: Path, *, published: bool = False) -> str:
    """The same pairs as open_clip's trainer reads them: beside the image `txt`, one caption or a line each of five.

    Args:
        jpegs: the images.
        taxa: their labels.
        folder: output folder.
        published: write the published layout, with five captions and members that are read but not used.
    """
    for number in range(SAMPLES // PER_SHARD):
        members = []
        for n in range(number * PER_SHARD, (number + 1) * PER_SHARD):
            taxon = taxa[n % SPECIES]
            captions = [caption(taxon, text_type) for text_type in (TEXT_TYPES if published else TEXT_TYPES[-1:])]
            others = {name: text.encode() for name, text in published_members(taxon).items()} if published else {}
            sample = {"jpg": jpegs[n % PICTURES], "txt": "\n".join(captions).encode(), **others}
            members.append((f"{n:032x}", sample))
        tars.write_tar(folder / f"{number:06d}.tar", members)
    return f"{folder}/{{000000..{SAMPLES // PER_SHARD - 1:06d}}}.tar"


if __name__ == "__main__":
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    print_rows((rates, resuming))
