"""Identify the species in images with a trained model and a list of candidate species."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import torch
import tyro
from tqdm import tqdm

from workflow_scripts.common import tables
from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.cli import AsJson, run
from workflow_scripts.common.clip import Clip, load
from workflow_scripts.common.config.curate import Rank
from workflow_scripts.common.config.model_source import ModelSource
from workflow_scripts.common.embedding import Batch, ImageOptions, encode
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic, check_not_read, check_writable
from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.image_lists import UNREADABLE, ImageList, Unreadable
from workflow_scripts.common.interruptions import Interrupted, interruptions
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.prompts import TEMPLATES, class_weights, text_features
from workflow_scripts.common.species_embeddings import has_species_embeddings, read_species_embeddings
from workflow_scripts.common.typed_models import model_name, typed_model
from workflow_scripts.evaluate.candidates import read_species_list, trained_on
from workflow_scripts.evaluate.features import weights_digest
from workflow_scripts.evaluate.predictions import (
    Best,
    IdentificationTable,
    Identifier,
    PredictionTable,
    Taxa,
    prediction_objects,
)

FORMATS = (".csv", ".parquet")
BLOCK = 4096
SHOWN = 10
# From this many prompts on, encoding takes a CPU half a minute or more, so a message is printed.
MANY_PROMPTS = 20_000
NO_PREDICTIONS = Best(np.zeros((0, 0), np.int64), np.zeros((0, 0)))


def predict(
    *,
    model: str,
    images: Annotated[ImageOptions, tyro.conf.OmitArgPrefixes],
    species: Path | None = None,
    corpus: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    rank: Rank = "species",
    top: int = 5,
    templates: Literal["all", "one"] = "all",
    darwin_core: bool = False,
    identified_by: str | None = None,
    json_lines: AsJson = False,
) -> None:
    """Print the most probable taxa of images, and optionally write them to a table.

    python -m workflow_scripts.evaluate.predict --model results/runs/demo/model --images photo.jpg

    The candidates are the species in --species or --corpus, or those whose embeddings are stored with the model. The
    table has one row per predicted taxon: `image`, the columns of the input table, `place` (1 is the best), the ranks
    down to --rank, `scientific_name`, `common_name` (species only), `probability`, and `error` if the image cannot be
    read. Probabilities are a softmax over all species; a higher taxon has the sum of its species.

    After Ctrl-C or SIGTERM the table contains the images processed so far.

    Exit status: 0 all images identified; 2 bad input, or no image could be read, and nothing is written; 3 some images
    could not be read, the rest are identified; 130 or 143 interrupted.

    Args:
        model: the model's folder, such as a run's `model`, or `hf-hub:NAME`.
        images: the images, and how they are read.
        species: candidate species: a table with columns named after ranks (or scientific_name) and common_name; a .txt
            file with one name per line; or a folder with txt_emb_species.npy and .json, whose embeddings are used
            directly.
        corpus: folder of a corpus; the candidates are the species in its training data.
        out: the table to write, .csv or .parquet. Default: only print.
        overwrite: replace OUT if it exists.
        rank: the rank to predict.
        top: number of taxa per image.
        templates: encode all 81 prompts per species, or only the first one (for very long lists).
        darwin_core: write Darwin Core identifications instead (identifiedBy, dateIdentified, scientificName, taxonRank,
            ...), one row each; with --top 1 one per image.
        identified_by: the value of identifiedBy. Default: the model's name.
        json_lines: print one JSON object per image: image, given (the columns of its table), predictions, error.

    Raises:
        InputError: the model, the candidates or an input cannot be read, the model has no text tower, or OUT exists or
            has another suffix.
        SystemExit: the exit status, if it is not 0.
    """
    if out is not None and out.suffix not in FORMATS:
        raise InputError(f"{out}: expected a name ending in .csv or .parquet")
    if darwin_core and out is None:
        raise InputError("--darwin-core requires --out, the table to write")
    if identified_by is not None and not darwin_core:
        raise InputError("--identified-by requires --darwin-core")
    if top < 1:
        raise InputError(f"--top: expected at least 1, found {top}")
    images.check()
    if out is not None:
        check_not_read(out, *images.images, species)
        if out.is_file() and not overwrite:
            raise InputError(f"{out}: exists already; choose another file with --out, or replace it with --overwrite")
        check_writable(out)
    torch.set_num_threads(images.threads)
    with ExitStack() as stack:
        listed_images = images.listed(stack.enter_context(tables.connect(images.memory_mb)))
        source = typed_model(model)
        clip = load(source, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        candidates, species_DS = _species(clip, source, species, corpus, templates)
        taxa = Taxa(candidates, rank)
        types = listed_images.kept_types()
        table: PredictionTable | IdentificationTable
        if darwin_core:
            kept = listed_images.kept_columns(IdentificationTable.own)
            who = _identifier(clip, source, identified_by, len(candidates))
            table = IdentificationTable(taxa, kept, types, who)
        else:
            kept = listed_images.kept_columns(PredictionTable.own)
            table = PredictionTable(taxa, kept, types)
        console = Console(taxa, kept, json_lines=json_lines, most=None if out is None else SHOWN)
        scale = clip.model.logit_scale.exp().item()
        stop = stack.enter_context(interruptions())
        progress = stack.enter_context(Progress("predict", listed_images.count, "images"))
        status = 0
        # Entered last, so that the table has its final name before the summary is printed.
        with _writer(out, table.schema) as writer:
            try:
                for block, loaded in _load(listed_images, clip, images):
                    best = (
                        taxa.best(encode(clip, loaded.pixels_BCHW), species_DS, scale, top)
                        if loaded.read
                        else NO_PREDICTIONS
                    )
                    with stop.held_back():
                        writer.write_table(table.rows(block, loaded, best))
                        console.print_batch(block, loaded, best)
                        progress.update(len(loaded.read) + len(loaded.errors))
            except Interrupted as interrupted:
                if not progress.done:
                    raise SystemExit(interrupted.status) from None
                status = interrupted.status
            unreadable = console.unreadable
            if unreadable.count == listed_images.count:
                raise InputError(f"none of {unreadable.count:,} images could be read; first error: {unreadable.first}")
    console.close(progress.done, listed_images.count, out)
    if status or console.unreadable.count:
        raise SystemExit(status or UNREADABLE)


class Console:
    """Prints predictions, as text or as JSON lines.

    Args:
        taxa: the taxa.
        kept: the columns of the input table, by output name.
        json_lines: print JSON lines.
        most: maximum number of images to print as text; None: all.
    """

    def __init__(self, taxa: Taxa, kept: dict[str, str], *, json_lines: bool, most: int | None) -> None:
        self.unreadable = Unreadable()
        self._taxa = taxa
        self._kept = kept
        self._json = json_lines
        self._left = most

    def print_batch(self, given: pa.Table, loaded: Batch, best: Best) -> None:
        """Print the predictions of a batch."""
        names = given["image"]
        for index, error in sorted(loaded.errors.items()):
            self.unreadable.note(str(names[index]), error)
        if self._json:
            for described in prediction_objects(given, self._kept, loaded, best, self._taxa):
                tqdm.write(json.dumps(described, ensure_ascii=False, default=str), file=sys.stdout)
            return
        for row, index in enumerate(loaded.read[: self._left]):
            tqdm.write(str(names[index]), file=sys.stdout)
            for taxon, probability in zip(best.taxa_NK[row].tolist(), best.probabilities_NK[row], strict=True):
                common = f" ({self._taxa.common[taxon]})" if self._taxa.common[taxon] else ""
                tqdm.write(f"  {probability:.4f}  {self._taxa.names[taxon]}{common}", file=sys.stdout)
        if self._left is not None:
            self._left = max(0, self._left - len(loaded.read))

    def close(self, done: int, count: int, out: Path | None) -> None:
        """Print the summary."""
        unreadable = self.unreadable.count
        phrases = [f"identified {done - unreadable:,} of {count:,} images"]
        if unreadable:
            phrases.append(f"{unreadable:,} could not be read")
        if done < count:
            phrases.append(f"interrupted, {count - done:,} not processed")
        where = "" if out is None else f": {out}"
        stream = sys.stderr if self._json or out is None else sys.stdout
        stream.write(f"{', '.join(phrases)}{where}\n")


def _species(
    clip: Clip, source: ModelSource, species: Path | None, corpus: Path | None, templates: Literal["all", "one"]
) -> tuple[list[Taxon], Floats]:
    """The candidate species and their text features [D, S], of unit length.

    Raises:
        InputError: there is no list of species or more than one, or the embeddings belong to another model.
    """
    if species is not None and corpus is not None:
        raise InputError("give either --species or --corpus, not both")
    if species is None and corpus is None and source.kind == "folder" and has_species_embeddings(Path(source.place)):
        species = Path(source.place)
    if species is not None and not species.is_file() and not has_species_embeddings(species):
        raise InputError(
            f"--species {species}: {'not a list of species' if species.exists() else 'no such file'}; expected a "
            "table, a text file with one name per line, or a folder with txt_emb_species.npy and .json"
        )
    if corpus is not None and not Path(Corpus(str(corpus)).labels()).is_file():
        raise InputError(f"--corpus {corpus}: not a corpus; expected a corpus's folder, such as results/corpora/NAME")
    if species is not None and species.is_dir():
        taxa, columns_DS = read_species_embeddings(species)
        wanted = len(text_features(clip, ["a photo of a species."])[0])
        if len(columns_DS) != wanted:
            raise InputError(
                f"{species}: embeddings of species have {len(columns_DS)} dimensions, the model's {wanted}; "
                "use embeddings made with this model"
            )
        return taxa, columns_DS
    if species is None and corpus is None:
        raise InputError("give --species or --corpus: the species to choose from")
    taxa = read_species_list(species) if species is not None else trained_on(Path(str(corpus)))
    chosen = TEMPLATES if templates == "all" else TEMPLATES[:1]
    if len(taxa) * len(chosen) > MANY_PROMPTS:
        sys.stderr.write(
            f"encoding {len(chosen)} prompts for each of {len(taxa):,} species (--templates one is faster)\n"
        )
    names = [taxon.taxonomic_with_common for taxon in taxa]
    return taxa, class_weights(names, chosen, partial(text_features, clip)).T


def _identifier(clip: Clip, source: ModelSource, name: str | None, species: int) -> Identifier:
    reference = ""
    if source.kind == "hub":
        repository, _, commit = source.place.partition("@")
        reference = f"https://huggingface.co/{repository}/tree/{commit}"
    return Identifier(
        name=name or model_name(source),
        reference=reference,
        date=datetime.now(UTC).date().isoformat(),
        how=f" among {species:,} species; weights SHA-256 {weights_digest(clip)}",
    )


def _load(listed_images: ImageList, clip: Clip, images: ImageOptions) -> Iterator[tuple[pa.Table, Batch]]:
    """Yield loaded batches, each with the block of rows that its indices refer to."""
    for block in listed_images.blocks(BLOCK):
        for loaded in images.batches_of(block, clip):
            yield block, loaded


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...


class _NullWriter:
    def write_table(self, table: pa.Table) -> None:
        """Write nothing."""


@contextmanager
def _writer(out: Path | None, schema: pa.Schema) -> Iterator[_Writer]:
    """A writer of rows; the file gets its final name when the block ends."""
    if out is None:
        yield _NullWriter()
        return
    with atomic(out) as temporary:
        made: Any = pacsv.CSVWriter if out.suffix == ".csv" else pq.ParquetWriter
        with made(temporary, schema) as writer:
            yield writer


if __name__ == "__main__":
    run(predict)
