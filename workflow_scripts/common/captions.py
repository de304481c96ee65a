"""Captions of organisms, as in TreeOfLife-10M and TreeOfLife-200M (dataset cards)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from workflow_scripts.contracts import RANKS, TEXT_TYPES

NAMED_BY_TEMPLATES = ("sci", "com", "taxon", "taxonTag")
"""What a template may name of the organism, besides the columns that the config keeps of the sources."""

Captions = Literal["standard", "treeoflife10m", "treeoflife200m"]
"""Whose rules captions follow where a label is not known to the species, see `names_of`."""


@dataclass(frozen=True)
class Taxon:
    """What a caption may name.

    Attributes:
        ranks: the names at the seven ranks, kingdom first; "" where unknown; the last one is the epithet.
        scientific_name: the most specific name known when it is not simply genus and epithet; "" to derive it.
        common_name: "" where there is none.
    """

    ranks: tuple[str, ...]
    scientific_name: str = ""
    common_name: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any], prefix: str = "") -> "Taxon":
        """Read a row with columns named like ranks (behind `prefix`), `scientific_name` and `common_name`."""
        return cls(
            ranks=tuple(_clean(row.get(prefix + rank)) for rank in RANKS),
            scientific_name=_clean(row.get("scientific_name")),
            common_name=_clean(row.get("common_name")),
        )

    @property
    def scientific(self) -> str:
        """The most specific name: the binomial, else the lowest known rank's."""
        *_, genus, species = self.ranks
        if self.scientific_name:
            return self.scientific_name
        if genus and species:
            return f"{genus} {species}"
        return next((name for name in reversed(self.ranks[:-1]) if name), species)

    @property
    def taxonomic(self) -> str:
        """The known ranks from kingdom to epithet, one space between them; the scientific name when none is known."""
        return " ".join(name for name in self.ranks if name) or self.scientific

    @property
    def common(self) -> str:
        """The common name, else the scientific name."""
        return self.common_name or self.scientific

    @property
    def taxonomic_with_common(self) -> str:
        """The taxonomic name, with the common name behind it where there is one: what prompts name a species by."""
        return with_common_name(self.taxonomic, self.common_name)

    @property
    def tagged(self) -> str:
        """Each known rank's name behind the rank's own: `kingdom Animalia phylum Chordata ...`."""
        return (
            " ".join(f"{rank} {name}" for rank, name in zip(RANKS, self.ranks, strict=True) if name) or self.scientific
        )


def _clean(value: object) -> str:
    return " ".join(str(value).split()) if value is not None else ""


def with_common_name(name: str, common_name: str) -> str:
    """A name with the common name behind it; the name alone where there is none."""
    return f"{name} with common name {common_name}" if common_name else name


def names_of(taxon: Taxon, captions: Captions = "standard") -> dict[str, str]:
    """What captions call an organism: the names of `NAMED_BY_TEMPLATES`.

    `standard` writes the most specific known name wherever another one is unknown. The others do what the writers of
    the published shards did: `treeoflife10m` (Imageomics/bioclip, make_wds.py) writes genus and epithet as the
    scientific name, so nothing above the genus, and takes the taxonomic name for a common name that is then unknown;
    `treeoflife200m` (Imageomics/TreeOfLife-toolbox, tol2webdataset) strips the dots behind a scientific name and leaves
    out ranks named "unknown".
    """
    if captions == "treeoflife200m":
        ranks = tuple("" if name.lower() == "unknown" else name for name in taxon.ranks)
        known = replace(taxon, ranks=ranks, scientific_name=taxon.scientific_name.rstrip("."))
        taxon = known if known.scientific else replace(known, scientific_name="Unknown")
    names = {"sci": taxon.scientific, "com": taxon.common, "taxon": taxon.taxonomic, "taxonTag": taxon.tagged}
    if captions == "treeoflife10m":
        binomial = " ".join(name for name in taxon.ranks[-2:] if name)
        names |= {"sci": binomial, "com": taxon.common_name or binomial or taxon.taxonomic}
    return names


def name_of(taxon: Taxon, text_type: str, captions: Captions = "standard") -> str:
    """What a caption of `text_type` names, without the sentence around it.

    Raises:
        ValueError: the taxon has no name at all, or the text type is unknown.
    """
    head, _, with_common = text_type.partition("_")
    names = names_of(taxon, captions)
    if head not in names or with_common not in ("", "com"):
        raise ValueError(f"unknown text type {text_type}")
    if not (names[head] or names["taxon"]):
        raise ValueError("a taxon without any name has no caption")
    return with_common_name(names[head], names["com"] if with_common else "")


def sentence(name: str) -> str:
    """The sentence that captions and prompts put around a name."""
    return f"a photo of {name}."


def caption(taxon: Taxon, text_type: str, captions: Captions = "standard") -> str:
    """The caption of `text_type`: the sentence around the name.

    Raises:
        ValueError: the taxon has no name at all, or the text type is unknown.
    """
    return sentence(name_of(taxon, text_type, captions))


_FIELD = re.compile(r"\{([^{}]+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")


def template_columns(template: str) -> list[str]:
    """The columns that a template names besides the names of `NAMED_BY_TEMPLATES`, in its order.

    Raises:
        ValueError: its braces or brackets do not fit, or it names nothing of the organism.
    """
    fields = list(dict.fromkeys(_FIELD.findall(template)))
    if any(sign in _FIELD.sub("", _OPTIONAL.sub(r"\1", template)) for sign in "{}[]"):
        raise ValueError(f"{template!r}: names stand in {{braces}}, what may be left out in [square brackets]")
    if not any(name in fields for name in NAMED_BY_TEMPLATES):
        raise ValueError(f"{template!r} names none of {', '.join(NAMED_BY_TEMPLATES)}")
    return [name for name in fields if name not in NAMED_BY_TEMPLATES]


def fill_template(
    template: str, taxon: Taxon, values: Mapping[str, str | None], captions: Captions = "standard"
) -> str:
    """A caption by a template such as `a photo of {sci}[, {lifeStage}].`

    Names in braces are those of `NAMED_BY_TEMPLATES` and of the columns in `values`; what stands in square brackets is
    left out where a name in it has no value.

    Raises:
        ValueError: the taxon has no name at all.
    """
    known = {name: name_of(taxon, name, captions) for name in NAMED_BY_TEMPLATES}
    known |= {name: _clean(value) for name, value in values.items()}

    def written(piece: str) -> str:
        return _FIELD.sub(lambda found: known[found[1]], piece)

    def optional(found: re.Match[str]) -> str:
        return found[1] if all(known[name] for name in _FIELD.findall(found[1])) else ""

    return _clean(written(_OPTIONAL.sub(optional, template)))


def published_members(taxon: Taxon) -> dict[str, str]:
    """The ten text members of the published shards, by suffix."""
    members = {
        "scientific_name.txt": taxon.scientific,
        "common_name.txt": taxon.common,
        "taxonomic_name.txt": taxon.taxonomic,
    }
    types = (*TEXT_TYPES, "taxonTag", "taxonTag_com")
    return members | {f"{text_type}.txt": caption(taxon, text_type) for text_type in types}
