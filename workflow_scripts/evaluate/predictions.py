"""Tables of predictions: the most probable taxa of each image, or Darwin Core identifications.

Shapes: N images, D dimensions, S species, T taxa at the requested rank, K best taxa per image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.config.curate import Rank
from workflow_scripts.common.embedding import Batch
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.contracts import RANKS

PROBABILITY_DECIMALS = 6
# Probabilities in memory at once: 64 MiB of float32.
BLOCK_VALUES = 2**24


@dataclass(frozen=True)
class Best:
    """The most probable taxa of each image, best first.

    Attributes:
        taxa_NK: their indices in `Taxa`.
        probabilities_NK: rounded to `PROBABILITY_DECIMALS`.
    """

    taxa_NK: NDArray[np.int64]
    probabilities_NK: NDArray[np.float64]


class Taxa:
    """The taxa at one rank that the candidate species belong to.

    Attributes:
        rank: the rank.
        lineages: names of each taxon from kingdom down to the rank, "" where unknown.
        names: scientific name of each taxon.
        common: common name of each taxon; "" above species.
        texts: name of each taxon as written in prompts.
    """

    def __init__(self, species: Sequence[Taxon], rank: Rank) -> None:
        is_species = rank == "species"
        depth = RANKS.index(rank) + 1
        keys = [(taxon.ranks[:depth], taxon.scientific_name if is_species else "") for taxon in species]
        number_of: dict[tuple[tuple[str, ...], str], int] = {}
        first: list[Taxon] = []
        for taxon, key in zip(species, keys, strict=True):
            if key not in number_of:
                number_of[key] = len(first)
                first.append(taxon)
        self.rank = rank
        self.lineages = [lineage for lineage, _ in number_of]
        self.names = [taxon.scientific if is_species else _lowest(taxon.ranks[:depth]) for taxon in first]
        self.common = [taxon.common_name if is_species else "" for taxon in first]
        self.texts = [
            taxon.taxonomic_with_common if is_species else " ".join(filter(None, taxon.ranks[:depth]))
            for taxon in first
        ]
        of_species = np.array([number_of[key] for key in keys])
        # Species sorted by taxon, and where each taxon starts.
        self._order = np.argsort(of_species, kind="stable")
        self._starts = np.searchsorted(of_species[self._order], np.arange(len(first)))

    def best(self, vectors_ND: Floats, species_DS: Floats, scale: float, top: int) -> Best:
        """The most probable taxa of each image, by a softmax over all species summed per taxon.

        Args:
            vectors_ND: image features.
            species_DS: text features of the species, unit length.
            scale: the model's logit scale.
            top: number of taxa per image.
        """
        kept = min(top, len(self.names))
        taxa_NK = np.empty((len(vectors_ND), kept), np.int64)
        probabilities_NK = np.empty((len(vectors_ND), kept))
        rows = max(1, BLOCK_VALUES // species_DS.shape[1])
        for start in range(0, len(vectors_ND), rows):
            block = slice(start, start + rows)
            similarity_NS = scale * (unit(vectors_ND[block]) @ species_DS)
            powers_NS = np.exp(similarity_NS - similarity_NS.max(axis=1, keepdims=True))
            powers_NS /= powers_NS.sum(axis=1, keepdims=True, dtype=np.float64)
            taxa_NT = np.add.reduceat(powers_NS[:, self._order], self._starts, axis=1)
            best_NK = _highest(taxa_NT, kept)
            taxa_NK[block] = best_NK
            probabilities_NK[block] = np.take_along_axis(taxa_NT, best_NK, axis=1)
        return Best(taxa_NK, probabilities_NK.round(PROBABILITY_DECIMALS))

    def described(self, number: int) -> dict[str, str]:
        """The known ranks, scientific name and common name of a taxon."""
        ranks = dict(zip(RANKS, self.lineages[number], strict=False))
        described = ranks | {"scientific_name": self.names[number], "common_name": self.common[number]}
        return {name: value for name, value in described.items() if value}


class PredictionTable:
    """Predictions with `image`, the columns of the input table, `place`, ranks, names, `probability` and `error`.

    Attributes:
        own: names of the columns that this table adds.
        schema: all columns of the output.
    """

    own = ("image", "place", *RANKS, "scientific_name", "common_name", "probability", "error")

    def __init__(self, taxa: Taxa, kept: Mapping[str, str], types: Mapping[str, pa.DataType]) -> None:
        self.taxa = taxa
        self._kept = kept
        ranks = [(rank, pa.string()) for rank in RANKS[: RANKS.index(taxa.rank) + 1]]
        names = [("scientific_name", pa.string()), ("common_name", pa.string())]
        self.schema = pa.schema(
            [
                ("image", pa.string()),
                *((name, types[column]) for name, column in kept.items()),
                ("place", pa.int64()),
                *ranks,
                *names,
                ("probability", pa.float64()),
                ("error", pa.string()),
            ]
        )

    def rows(self, images: pa.Table, loaded: Batch, best: Best) -> pa.Table:
        """The rows of a batch, in the order of its images.

        Args:
            images: the images, with the columns of the input table.
            loaded: the batch: indices of the images that were read, and the errors of the others.
            best: the taxa of the images that were read.
        """
        errors = loaded.errors
        of_image, places, taxa, probabilities = flattened(loaded.read, best)
        of_all = np.concatenate([of_image, np.array(sorted(errors), np.int64)])
        order = np.argsort(of_all, kind="stable")
        given = images.take(pa.array(of_all))
        pad = [None] * len(errors)
        depth = RANKS.index(self.taxa.rank) + 1
        values: dict[str, Any] = {"image": given["image"]}
        values |= {name: given[column] for name, column in self._kept.items()}
        values["place"] = [*places, *pad]
        values |= {
            rank: [*(self.taxa.lineages[taxon][level] or None for taxon in taxa), *pad]
            for level, rank in enumerate(RANKS[:depth])
        }
        values["scientific_name"] = [*(self.taxa.names[taxon] or None for taxon in taxa), *pad]
        values["common_name"] = [*(self.taxa.common[taxon] or None for taxon in taxa), *pad]
        values["probability"] = [*probabilities, *pad]
        values["error"] = [*([None] * len(taxa)), *(errors[index] for index in sorted(errors))]
        return pa.table([values[field.name] for field in self.schema], schema=self.schema).take(pa.array(order))


@dataclass(frozen=True)
class Identifier:
    """The identifier in Darwin Core identifications.

    Attributes:
        name: identifiedBy, such as the model's name.
        reference: identificationReferences, such as the model's address; "" if there is none.
        date: dateIdentified, ISO 8601.
        how: text that identificationRemarks adds after probability and place.
    """

    name: str
    reference: str
    date: str
    how: str


class IdentificationTable:
    """Identifications in Darwin Core terms (https://dwc.tdwg.org/terms/#identification), one row each.

    Rows also have the columns of the input table, such as occurrenceID, and the image as associatedMedia. Images that
    cannot be read have no rows.

    Attributes:
        own: names of the columns that this table adds.
        schema: all columns of the output.
    """

    own = (
        "associatedMedia",
        "identifiedBy",
        "dateIdentified",
        "identificationReferences",
        "identificationVerificationStatus",
        "identificationRemarks",
        "verbatimIdentification",
        "scientificName",
        "taxonRank",
        "kingdom",
        "phylum",
        "class",
        "order",
        "family",
        "genus",
        "specificEpithet",
        "infraspecificEpithet",
        "vernacularName",
    )

    def __init__(
        self, taxa: Taxa, kept: Mapping[str, str], types: Mapping[str, pa.DataType], identifier: Identifier
    ) -> None:
        self.taxa = taxa
        self._kept = kept
        self._identifier = identifier
        of_ours = [(name, pa.string()) for name in self.own]
        self.schema = pa.schema([*((name, types[column]) for name, column in kept.items()), *of_ours])

    def rows(self, images: pa.Table, loaded: Batch, best: Best) -> pa.Table:
        """The rows of a batch, as in `PredictionTable.rows`, without images that could not be read."""
        of_image, places, taxa, probabilities = flattened(loaded.read, best)
        given, who = images.take(pa.array(of_image)), self._identifier
        remarks = [
            f"machine prediction with probability {probability:.4f}, choice {place}{who.how}"
            for probability, place in zip(probabilities, places, strict=True)
        ]
        values: dict[str, Any] = {name: given[column] for name, column in self._kept.items()}
        values["associatedMedia"] = given["image"]
        fixed = {
            "identifiedBy": who.name,
            "dateIdentified": who.date,
            "identificationReferences": who.reference or None,
            # The term that EMODnet and OBIS use (best practices for plankton imaging data).
            "identificationVerificationStatus": "PredictedByMachine",
        }
        values |= {name: [value] * len(taxa) for name, value in fixed.items()}
        values["identificationRemarks"] = remarks
        values["verbatimIdentification"] = [self.taxa.texts[taxon] for taxon in taxa]
        values["scientificName"] = [self.taxa.names[taxon] for taxon in taxa]
        values["taxonRank"] = [rank_of(self.taxa.lineages[taxon]) for taxon in taxa]
        for level, rank in enumerate(RANKS[:-1]):
            values[rank] = [_at(self.taxa.lineages[taxon], level) for taxon in taxa]
        epithets = [(_at(self.taxa.lineages[taxon], len(RANKS) - 1) or "").split() for taxon in taxa]
        values["specificEpithet"] = [words[0] if words else None for words in epithets]
        values["infraspecificEpithet"] = [words[-1] if len(words) > 1 else None for words in epithets]
        values["vernacularName"] = [self.taxa.common[taxon] or None for taxon in taxa]
        return pa.table([values[field.name] for field in self.schema], schema=self.schema)


def rank_of(lineage: Sequence[str]) -> str | None:
    """The rank of the lowest name in a lineage; None if no name is known or the epithet is infraspecific."""
    known = [rank for rank, name in zip(RANKS, lineage, strict=False) if name]
    if not known or (known[-1] == "species" and len(lineage[-1].split()) > 1):
        return None
    return known[-1]


def flattened(read: Sequence[int], best: Best) -> tuple[NDArray[np.int64], list[int], list[int], list[float]]:
    """Image index, place, taxon and probability of each prediction, image by image."""
    count, kept = best.taxa_NK.shape
    of_image = np.repeat(np.array(read, np.int64), kept)
    places = np.tile(np.arange(1, kept + 1), count).tolist()
    return of_image, places, best.taxa_NK.reshape(-1).tolist(), best.probabilities_NK.reshape(-1).tolist()


def prediction_objects(
    images: pa.Table, kept: Mapping[str, str], loaded: Batch, best: Best, taxa: Taxa
) -> Iterator[dict[str, Any]]:
    """Yield one JSON object per image of a batch, in order: image, given, predictions, error."""
    row_of = {index: row for row, index in enumerate(loaded.read)}
    names = images["image"]
    for index in sorted([*loaded.read, *loaded.errors]):
        predictions = []
        if (row := row_of.get(index)) is not None:
            pairs = zip(best.taxa_NK[row].tolist(), best.probabilities_NK[row].tolist(), strict=True)
            predictions = [{**taxa.described(taxon), "probability": probability} for taxon, probability in pairs]
        yield {
            "image": names[index].as_py(),
            "given": {name: images[column][index].as_py() for name, column in kept.items()},
            "predictions": predictions,
            "error": loaded.errors.get(index),
        }


def _highest(values_NT: Floats, count: int) -> NDArray[np.int64]:
    """Column indices of the `count` highest values of each row, highest first; ties in column order."""
    if count < values_NT.shape[1]:
        # Partition first: sorting a million names to find five is slow.
        chosen_NK = np.sort(np.argpartition(-values_NT, count - 1, axis=1)[:, :count], axis=1)
    else:
        chosen_NK = np.broadcast_to(np.arange(count), values_NT.shape)
    order_NK = np.argsort(-np.take_along_axis(values_NT, chosen_NK, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen_NK, order_NK, axis=1)


def _lowest(ranks: Sequence[str]) -> str:
    return next((name for name in reversed(ranks) if name), "")


def _at(lineage: Sequence[str], level: int) -> str | None:
    return (lineage[level] or None) if level < len(lineage) else None
