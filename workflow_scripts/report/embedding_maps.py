"""t-SNE maps of a benchmark's images, two models side by side, coloured by taxon at a rank."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.frames import read_frame
from workflow_scripts.contracts import EMBEDDING_MAP, RANKS
from workflow_scripts.report.examples import shuffled

ENDING = ".tsne.parquet"
# Images drawn on the page: a fixed random sample that a browser can move smoothly.
SHOWN = 2000
# Taxa with their own colour at each rank.
COLOURED = 9
OTHER, UNKNOWN = -1, -2

EmbeddingMap = dict[str, Any]


def read_embedding_maps(files: Sequence[Path], models: Sequence[str]) -> dict[str, EmbeddingMap]:
    """Map data by benchmark: `models`, their `x` and `y`, `hover`, and by rank `names` and `of`.

    `names` are the most frequent taxa. `of` gives each image's index in `names`, -1 for any other taxon, -2 if the
    image has no name at that rank. `start` is the rank shown first. Texts are HTML without tags.

    Args:
        files: tables named MODEL/BENCHMARK.tsne.parquet.
        models: the models in order; the first two that have the benchmark are drawn.

    Raises:
        InputError: a file is missing or unreadable, or the two models' maps have different images.
    """
    by_benchmark: dict[str, dict[str, Path]] = {}
    for path in files:
        by_benchmark.setdefault(path.name.removesuffix(ENDING), {})[path.parent.name] = path
    return {
        benchmark: _embedding_map({model: of_model[model] for model in models if model in of_model})
        for benchmark, of_model in by_benchmark.items()
    }


def _embedding_map(files: Mapping[str, Path]) -> EmbeddingMap:
    shown = dict(list(files.items())[:2])
    tables = {model: read_frame(path, EMBEDDING_MAP) for model, path in shown.items()}
    first, *others = tables.values()
    for path, rows in zip(list(shown.values())[1:], others, strict=True):
        if not rows["image"].equals(first["image"]):
            raise InputError(f"{path}: its images differ from {next(iter(shown.values()))}; make both maps again")
    chosen = shuffled(first["image"])[:SHOWN]
    images = first[chosen]
    ranks = {rank: _coloured(images[f"taxon_{rank}"].to_list()) for rank in RANKS}
    varied = [rank for rank in RANKS if len(ranks[rank]["names"]) > 3]
    return {
        "models": [*shown],
        "images": len(first),
        "hover": [_hover(row) for row in images.iter_rows(named=True)],
        "x": [[round(x, 2) for x in rows["x"][chosen]] for rows in tables.values()],
        "y": [[round(y, 2) for y in rows["y"][chosen]] for rows in tables.values()],
        "ranks": {rank: colours for rank, colours in ranks.items() if colours["names"]},
        "start": next(iter(varied), next((rank for rank in RANKS if ranks[rank]["names"]), None)),
    }


def _coloured(names: Sequence[str | None]) -> dict[str, Any]:
    counts = Counter(name for name in names if name)
    top = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:COLOURED]]
    place = {name: number for number, name in enumerate(top)}
    return {
        "names": [html.escape(name, quote=False) for name in top],
        "of": [place.get(name, OTHER) if name else UNKNOWN for name in names],
        "others": len(counts) - len(top),
    }


def _hover(row: Mapping[str, Any]) -> str:
    genus, species = row["taxon_genus"], row["taxon_species"]
    binomial = " ".join(name for name in (genus, species) if name) or row["class"]
    common = f" · {row['common_name']}" if row["common_name"] else ""
    above = ", ".join(row[f"taxon_{rank}"] for rank in ("family", "order", "class") if row[f"taxon_{rank}"])
    return "<br>".join(html.escape(text, quote=False) for text in (f"{binomial}{common}", above) if text)
