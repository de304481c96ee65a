"""Example images with the predictions of each model."""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.frames import read_frame
from workflow_scripts.contracts import BENCHMARK_IMAGES, PREDICTIONS

if TYPE_CHECKING:
    import polars as pl

THUMBNAIL = 144
QUALITY = 80
# Squares along the longer side of a pixelated thumbnail.
SQUARES = 12
ENDING = ".predictions.parquet"
# Number of examples of each kind per benchmark.
KINDS = {
    "this model is right, another is not": 4,
    "every model is right": 2,
    "no model is right": 4,
    "another model is right, this one is not": 2,
}


@dataclass(frozen=True)
class Guess:
    """One model's prediction for an image; `score` is the cosine similarity."""

    model: str
    predicted: str
    score: float
    correct: bool


@dataclass(frozen=True)
class Example:
    """An image, its true class and each model's prediction; `thumbnail` is a data URI, empty if the file is missing."""

    image: str
    kind: str
    true: str
    thumbnail: str
    guesses: tuple[Guess, ...]


def read_examples(
    predictions: Sequence[Path], benchmarks: Mapping[str, Path], models: Sequence[str]
) -> dict[str, list[Example]]:
    """Choose a few examples of each kind for each benchmark; the same predictions give the same examples.

    Args:
        predictions: files named MODEL/BENCHMARK.predictions.parquet.
        benchmarks: each benchmark's images.parquet.
        models: the models in order, the run's own first.

    Raises:
        InputError: a file is missing or unreadable, or predictions do not match the benchmark's images.
    """
    by_benchmark: dict[str, dict[str, Path]] = {}
    for path in predictions:
        if not path.name.endswith(ENDING):
            raise InputError(f"{path}: expected a file named MODEL/BENCHMARK{ENDING}")
        by_benchmark.setdefault(path.name.removesuffix(ENDING), {})[path.parent.name] = path
    return {
        benchmark: _examples({name: files[name] for name in models if name in files}, benchmarks[benchmark])
        for benchmark, files in by_benchmark.items()
        if benchmark in benchmarks
    }


def _examples(files: Mapping[str, Path], images: Path) -> list[Example]:
    if not files:
        return []
    places = read_frame(images, BENCHMARK_IMAGES).rows_by_key("position", named=True, unique=True)
    guesses = {model: read_frame(path, PREDICTIONS) for model, path in files.items()}
    if len({len(frame) for frame in guesses.values()}) > 1:
        raise InputError(f"{images}: the models have predictions for different numbers of images; evaluate again")
    first = next(iter(guesses.values()))
    chosen: dict[str, list[Example]] = {kind: [] for kind in KINDS}
    for row in shuffled(first["image"]):
        rows = [frame.row(row, named=True) for frame in guesses.values()]
        kind = _kind([row["correct"] for row in rows])
        if len(chosen[kind]) == KINDS[kind]:
            continue
        place = places.get(rows[0]["position"])
        if place is None or any(row["image"] != place["image"] for row in rows):
            raise InputError(f"{images}: no image {rows[0]['image']}, which has predictions; evaluate again")
        guessed = [
            Guess(model, row["predicted"], row["score"], row["correct"])
            for model, row in zip(guesses, rows, strict=True)
        ]
        chosen[kind].append(Example(place["image"], kind, rows[0]["class"], _thumbnail_of(place), tuple(guessed)))
    return [example for examples in chosen.values() for example in examples]


def _kind(correct: Sequence[bool]) -> str:
    own, others = correct[0], correct[1:]
    if own:
        return "every model is right" if all(others) else "this model is right, another is not"
    return "another model is right, this one is not" if any(others) else "no model is right"


def shuffled(images: "pl.Series") -> "pl.Series":
    """Row numbers in a random order that depends only on the images' names, so that classes mix."""
    import polars as pl

    digests = [hashlib.sha256(image.encode()).hexdigest() for image in images]
    return pl.DataFrame({"digest": digests}).with_row_index("row").sort("digest", maintain_order=True)["row"]


def _thumbnail_of(place: Mapping[str, Any]) -> str:
    return thumbnail(Path(place["path"]), place["offset"], place["size"])


def thumbnail(path: Path, offset: int | None = None, size: int | None = None, *, coarse: bool = False) -> str:
    """Thumbnail of an image file, or of an image inside a file, as a data URI; empty if it cannot be read.

    Args:
        path: the file.
        offset: first byte of the image in the file. Default: the start.
        size: bytes of the image. Default: to the end.
        coarse: pixelate so strongly that no face can be recognized.
    """
    from PIL import Image

    try:
        with path.open("rb") as file:
            file.seek(offset or 0)
            content = file.read(-1 if size is None else size)
        with Image.open(io.BytesIO(content)) as image:
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    if coarse:
        full, squares = small.size, [max(1, side * SQUARES // THUMBNAIL) for side in small.size]
        small = small.resize((squares[0], squares[1]), Image.Resampling.BOX).resize(full, Image.Resampling.NEAREST)
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
