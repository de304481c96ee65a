"""Say what a folder of images shows: a trained model, and a list of species to choose from."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import Clip, encode_image, load, preprocess
from workflow_scripts.common.config.curate import Rank
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.images import UnreadableImage, decode
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.prompts import TEMPLATES, class_weights, text_features
from workflow_scripts.contracts import RANKS
from workflow_scripts.evaluate.candidates import listed, trained_on

logger = logging.getLogger(__name__)

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
PROBABILITY_DECIMALS = 6
NAMED_ON_TERMINAL = 5

# An image that cannot be read, and why.
Broken = tuple[str, str]


def predict(
    *,
    model: str,
    images: Path,
    out: Path,
    species: Path | None = None,
    corpus: Path | None = None,
    rank: Rank = "species",
    top: int = 5,
    templates: Literal["all", "one"] = "all",
    batch: int = 64,
    workers: int = 1,
    threads: int = 2,
) -> None:
    """Write the most probable taxa of every image of a folder, as CSV or parquet.

    A row is an image's taxon: `image` (its path below the folder), `place` (1 is the best), the ranks down to the one
    asked for, `common_name` (of species), `probability`, and `error` where the image cannot be read. Probabilities are
    a softmax over all species; a higher rank has the sum of its species.

    Args:
        model: `local-dir:PATH` (a run's `model`), or another source that `evaluate.embed` takes.
        images: the folder; folders in it are searched too.
        out: the file, `.csv` or `.parquet`.
        species: a CSV of the species to choose from, with columns named like ranks and `common_name`.
        corpus: instead of it, a corpus's folder: the species that it trains on.
        rank: the rank to answer at.
        top: how many taxa an image.
        templates: all 81 prompts a species, or the first one (for very long lists).
        batch: images a forward pass.
        workers: loader workers.
        threads: threads of the forward pass.

    Raises:
        InputError: not one list of species, no image, a model without text, or another kind of file to write.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"{out}: give it the ending .csv or .parquet")
    if (species is None) == (corpus is None):
        raise InputError("give --species or --corpus, one of them")
    candidates = listed(species) if species is not None else trained_on(Path(str(corpus)))
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not images.is_dir():
        raise InputError(f"{images}: no such folder")
    if not files:
        raise InputError(f"{images}: no images in it")
    torch.set_num_threads(threads)
    clip = load(model, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    chosen = TEMPLATES if templates == "all" else TEMPLATES[:1]
    names = [taxon.taxonomic_with_common for taxon in candidates]
    sys.stderr.write(f"writing {len(chosen)} prompts for each of {len(names)} species (--templates one is faster)\n")
    weights_CD = class_weights(names, chosen, lambda texts: text_features(clip, texts))
    taxa = Taxa(candidates, rank)
    unreadable: list[Broken] = []
    with whole(out) as temporary, _writer(temporary, taxa.schema) as writer:
        for found, vectors_ND, broken in _embedded(clip, images, files, batch, workers):
            if found:
                writer.write_table(taxa.rows(found, _probabilities(clip, vectors_ND, weights_CD), top))
            writer.write_table(taxa.errors(broken))
            unreadable += broken
    for image, why in unreadable:
        logger.warning("%s: %s", image, why)
    for image, why in unreadable[:NAMED_ON_TERMINAL]:
        sys.stderr.write(f"{image}: {why}\n")
    sys.stdout.write(f"{len(files) - len(unreadable)} images, {len(unreadable)} unreadable: {out}\n")


class Taxa:
    """The taxa at one rank that the species belong to.

    Attributes:
        schema: the columns of the answer.
    """

    def __init__(self, candidates: list[Taxon], rank: Rank) -> None:
        lineages = [taxon.ranks[: RANKS.index(rank) + 1] for taxon in candidates]
        first: dict[tuple[str, ...], int] = {}
        for number, lineage in enumerate(lineages):
            first.setdefault(lineage, number)
        number_of = {lineage: number for number, lineage in enumerate(first)}
        self._lineages = list(first)
        self._of_species = np.array([number_of[lineage] for lineage in lineages])
        self._common = [candidates[number].common_name if rank == "species" else "" for number in first.values()]
        columns = ["image", "place", *RANKS[: RANKS.index(rank) + 1], "common_name", "probability", "error"]
        kinds = {"place": pa.int64(), "probability": pa.float64()}
        self.schema = pa.schema([(name, kinds.get(name, pa.string())) for name in columns])

    def rows(self, images: list[str], probabilities_NS: Floats, top: int) -> pa.Table:
        """The best taxa of each image, from the probabilities of all species."""
        taxa_NT = np.zeros((len(images), len(self._lineages)))
        np.add.at(taxa_NT.T, self._of_species, probabilities_NS.T)
        best_NK = np.argsort(-taxa_NT, axis=1, kind="stable")[:, :top]
        rows = [
            {"image": image, "place": place, "probability": round(float(taxa_NT[number, taxon]), PROBABILITY_DECIMALS)}
            | {rank: name or None for rank, name in zip(RANKS, self._lineages[taxon], strict=False)}
            | {"common_name": self._common[taxon] or None}
            for number, image in enumerate(images)
            for place, taxon in enumerate(best_NK[number].tolist(), 1)
        ]
        return pa.Table.from_pylist(rows, self.schema)

    def errors(self, broken: list[Broken]) -> pa.Table:
        """A row for each image that cannot be read."""
        return pa.Table.from_pylist([{"image": image, "error": why} for image, why in broken], self.schema)


class Photos(Dataset[torch.Tensor | str]):
    """Image files as the model takes them, decoded as those that it was trained on.

    An item is a float tensor [3, H, W], or what is wrong with the file: an exception would lose its text on its way out
    of a loader worker.
    """

    def __init__(self, files: Sequence[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor | str:
        try:
            pixels = decode(self.files[index].read_bytes())
        except (OSError, UnreadableImage) as error:
            return f"cannot be read: {error}"
        return self.transform(Image.fromarray(pixels))


def _probabilities(clip: Clip, vectors_ND: Floats, weights_CD: Floats) -> Floats:
    similarity_NC = clip.model.logit_scale.exp().item() * (unit(vectors_ND) @ weights_CD.T)
    powers_NC = np.exp(similarity_NC - similarity_NC.max(axis=1, keepdims=True))
    return np.asarray(powers_NC / powers_NC.sum(axis=1, keepdims=True))


def _embedded(
    clip: Clip, folder: Path, files: list[Path], batch: int, workers: int
) -> Iterator[tuple[list[str], Floats, list[Broken]]]:
    """Batch by batch: the names of the images, their features [N, D], and what is wrong with the others."""
    names = [path.relative_to(folder).as_posix() for path in files]
    loader: DataLoader[Any] = DataLoader(
        Photos(files, preprocess(clip)), batch_size=batch, num_workers=workers, collate_fn=list
    )
    start = 0
    with Progress("predict", len(files), "images") as progress:
        for items in loader:
            here = list(zip(names[start : start + len(items)], items, strict=True))
            start += len(items)
            read = [(name, item) for name, item in here if isinstance(item, torch.Tensor)]
            broken = [(name, item) for name, item in here if isinstance(item, str)]
            vectors_ND = np.zeros((0, 0), np.float32)
            if read:
                vectors_ND = encode_image(clip, torch.stack([item for _, item in read])).float().cpu().numpy()
            progress.update(len(items))
            yield [name for name, _ in read], vectors_ND, broken


def _writer(path: Path, schema: pa.Schema) -> Any:
    return pacsv.CSVWriter(path, schema) if path.suffix == ".csv" else pq.ParquetWriter(path, schema)


if __name__ == "__main__":
    run(predict)
