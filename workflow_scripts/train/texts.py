"""Captions of samples, written and tokenised when a batch is loaded.

Label names are memory-mapped, shared by all processes of a machine, and looked up by binary search, so the trainer's
memory does not grow with the corpus.
"""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.common.captions import Captions, Taxon, caption, fill_template, template_columns
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic
from workflow_scripts.common.word_tokenizer import WordTokenizer
from workflow_scripts.contracts import LABELS, RANKS

if TYPE_CHECKING:
    import torch

Tokenizer = Callable[[Sequence[str]], "torch.Tensor"]
TextKey = tuple[str | None, ...]
"""Identifies a sample's text: its label_id and kept columns, or the caption itself."""

CACHED_CAPTIONS = 200_000
NAMES = (*RANKS, "scientific_name", "common_name")


def text_type_at(step: int, seed: int, types: Sequence[str]) -> str:
    """Draw the text type of a step's global batch (BioCLIP). It depends only on (seed, step): equal on all ranks."""
    return random.Random(f"text type {seed} {step}").choice(list(types))


class Texts(Protocol):
    """Maps text keys to tokens."""

    @property
    def columns(self) -> Sequence[str]:
        """The index columns of a text key."""

    def tokens(self, key: TextKey, text_type: str) -> np.ndarray:
        """Token ids, int32 [context_length]."""


class CaptionTexts:
    """Texts of replay and of tars in the published layout: the text key is the caption."""

    columns = ("caption",)

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokens = lru_cache(CACHED_CAPTIONS)(WordTokenizer(tokenizer))

    def tokens(self, key: TextKey, text_type: str) -> np.ndarray:
        """Token ids of the caption in `key`, int32 [context_length]; `text_type` is ignored."""
        return self._tokens(*key)


class LabelTexts:
    """Texts of biology: captions are written from the names of a label.

    Args:
        folder: folder that `write_label_names` wrote.
        tokenizer: maps texts to token ids.
        templates: additional text types; their fields may be columns of the index.
        captions: caption rules.
    """

    def __init__(
        self,
        folder: Path,
        tokenizer: Tokenizer,
        templates: Mapping[str, str] = {},
        captions: Captions = "standard",
    ) -> None:
        kept = {name for template in templates.values() for name in template_columns(template)}
        self.columns = ("label_id", *sorted(kept))
        self.templates = templates
        self.captions = captions
        self.folder = folder
        self._tokenizer = WordTokenizer(tokenizer)
        self.ids = np.load(folder / "label_ids.npy", mmap_mode="r")
        self.names = pa.ipc.open_file(pa.memory_map(str(folder / "label_names.arrow"))).read_all()
        self._tokens = lru_cache(CACHED_CAPTIONS)(self._tokenise)

    def tokens(self, key: TextKey, text_type: str) -> np.ndarray:
        """Token ids of a caption of `text_type`, int32 [context_length]; `key` has the values of `columns`."""
        return self._tokens(key if text_type in self.templates else key[:1], text_type)

    def taxon(self, label_id: str) -> Taxon:
        """The names of a label.

        Raises:
            InputError: the label does not exist.
        """
        wanted = np.bytes_(label_id)
        row = int(np.searchsorted(self.ids, wanted))
        if row == len(self.ids) or self.ids[row] != wanted:
            raise InputError(f"{self.folder}: no label {label_id}; shards and labels are not of the same corpus")
        return Taxon.from_row(self.names.slice(row, 1).to_pylist()[0])

    def lineage(self, label_id: str) -> np.ndarray:
        """A label's taxa from kingdom to species, int64 [R]: hashes of the names down to each rank; 0 if missing."""
        names = self.taxon(label_id).ranks
        numbers = np.zeros(len(RANKS), dtype=np.int64)
        for place, name in enumerate(names):
            if name:
                digest = hashlib.blake2b("/".join(names[: place + 1]).encode(), digest_size=8).digest()
                numbers[place] = int.from_bytes(digest, "big", signed=True)
        return numbers

    def _tokenise(self, key: tuple[str, ...], text_type: str) -> np.ndarray:
        taxon = self.taxon(key[0])
        if text_type in self.templates:
            values = dict(zip(self.columns, key, strict=True))
            text = fill_template(self.templates[text_type], taxon, values, self.captions)
        else:
            text = caption(taxon, text_type, self.captions)
        return self._tokenizer(text)


def check_labels(labels: Path, indexes: Sequence[Path]) -> None:
    """Check that every label of the index tables exists and has a name.

    Raises:
        InputError: a label is missing or nameless; the message names the first one.
    """
    named = " OR ".join(f"trim(coalesce({tables.quoted(name)}, '')) != ''" for name in (*RANKS, "scientific_name"))
    with tables.connect() as connection:
        tables.read(connection, labels, LABELS, "labels")
        bad = connection.execute(
            f"""
            SELECT used.label_id, labels.label_id IS NULL
            FROM (SELECT DISTINCT label_id FROM {tables.scan(indexes)}) AS used
            LEFT JOIN labels USING (label_id)
            WHERE labels.label_id IS NULL OR NOT ({named})
            ORDER BY used.label_id LIMIT 1
            """
        ).fetchone()
    if bad is not None:
        label_id, missing = bad
        problem = "is missing" if missing else "has no names"
        raise InputError(f"{labels}: label {label_id} of the shards {problem}; rebuild the shards")


def write_label_names(labels: Path, folder: Path) -> None:
    """Write the labels to `folder` for memory-mapping: sorted label_ids, and names in the same order."""
    columns = ", ".join(tables.quoted(name) for name in NAMES)
    with tables.connect() as connection:
        source = tables.scan(labels)
        # Sort by bytes, as numpy compares them.
        ordered = f"SELECT label_id, {columns} FROM {source} ORDER BY encode(label_id)"
        count, width = tables.one_row(
            connection, f"SELECT count(*), coalesce(max(octet_length(encode(label_id))), 1) FROM {source}"
        )
        with atomic(folder / "label_ids.npy") as ids_file, atomic(folder / "label_names.arrow") as names_file:
            ids = np.lib.format.open_memmap(ids_file, mode="w+", dtype=f"S{width}", shape=(count,))
            done = 0
            batches = connection.sql(ordered).to_arrow_reader(65_536)
            schema = pa.schema([field for field in batches.schema if field.name != "label_id"])
            with pa.ipc.new_file(str(names_file), schema) as names:
                for batch in batches:
                    ids[done : done + len(batch)] = [text.encode() for text in batch.column("label_id").to_pylist()]
                    names.write_batch(batch.select(schema.names))
                    done += len(batch)
            ids.flush()
