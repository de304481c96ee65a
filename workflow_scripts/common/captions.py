"""Captions of organisms, as in TreeOfLife-10M and TreeOfLife-200M (dataset cards)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from workflow_scripts.contracts import RANKS, TEXT_TYPES

NAMED_BY_TEMPLATES = ("sci", "com", "taxon", "taxonTag")
"""Names of the organism that a template can use, in addition to the columns that sources `keep`."""

Captions = Literal["standard", "treeoflife10m", "treeoflife200m"]
"""Rules for captions of labels that are not resolved to a species, see `names_of`."""


@dataclass(frozen=True)
class Taxon:
    """The names of a taxon, for captions.

    Attributes:
        ranks: names at the seven ranks, kingdom first, "" if unknown; the last one is the epithet.
        scientific_name: most specific known name, if it is not just genus and epithet; "" to derive it.
        common_name: "" if there is none.
    """

    ranks: tuple[str, ...]
    scientific_name: str = ""
    common_name: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any], prefix: str = "") -> "Taxon":
        """The taxon of a row with rank columns (`prefix` + rank), `scientific_name` and `common_name`."""
        return cls(
            ranks=tuple(_clean(row.get(prefix + rank)) for rank in RANKS),
            scientific_name=_clean(row.get("scientific_name")),
            common_name=_clean(row.get("common_name")),
        )

    @property
    def scientific(self) -> str:
        """The most specific name: the scientific name, the binomial, or that of the lowest known rank."""
        *_, genus, species = self.ranks
        if self.scientific_name:
            return self.scientific_name
        if genus and species:
            return f"{genus} {species}"
        return next((name for name in reversed(self.ranks[:-1]) if name), species)

    @property
    def taxonomic(self) -> str:
        """Known ranks from kingdom to epithet, separated by spaces; the scientific name if no rank is known."""
        return " ".join(name for name in self.ranks if name) or self.scientific

    @property
    def common(self) -> str:
        """The common name, or the scientific name if there is none."""
        return self.common_name or self.scientific

    @property
    def taxonomic_with_common(self) -> str:
        """The taxonomic name, followed by the common name if there is one; used in prompts."""
        return with_common_name(self.taxonomic, self.common_name)

    @property
    def tagged(self) -> str:
        """Known names, each preceded by its rank: `kingdom Animalia phylum Chordata ...`."""
        return (
            " ".join(f"{rank} {name}" for rank, name in zip(RANKS, self.ranks, strict=True) if name) or self.scientific
        )


def _clean(value: object) -> str:
    return " ".join(str(value).split()) if value is not None else ""


def with_common_name(name: str, common_name: str) -> str:
    """A name followed by the common name, if there is one."""
    return f"{name} with common name {common_name}" if common_name else name


def names_of(taxon: Taxon, captions: Captions = "standard") -> dict[str, str]:
    """The names of an organism for captions, by the keys in `NAMED_BY_TEMPLATES`.

    `standard` replaces an unknown name by the most specific known one. The others follow the code that wrote the
    published shards: with `treeoflife10m` (Imageomics/bioclip, make_wds.py) the scientific name is genus and epithet,
    so it is empty above the genus, and the taxonomic name then replaces a missing common name; `treeoflife200m`
    (Imageomics/TreeOfLife-toolbox, tol2webdataset) strips dots at the end of a scientific name and leaves out ranks
    named "unknown".
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
    """The name in a caption of `text_type`, without the sentence around it.

    Raises:
        ValueError: the taxon has no name at all, or the text type is unknown.
    """
    head, _, with_common = text_type.partition("_")
    names = names_of(taxon, captions)
    if head not in names or with_common not in ("", "com"):
        raise ValueError(f"unknown text type {text_type}")
    if not (names[head] or names["taxon"]):
        raise ValueError("cannot write a caption for a taxon without any name")
    return with_common_name(names[head], names["com"] if with_common else "")


def sentence(name: str) -> str:
    """The sentence around a name in captions and prompts."""
    return f"a photo of {name}."


def caption(taxon: Taxon, text_type: str, captions: Captions = "standard") -> str:
    """The caption of `text_type`.

    Raises:
        ValueError: the taxon has no name at all, or the text type is unknown.
    """
    return sentence(name_of(taxon, text_type, captions))


_FIELD = re.compile(r"\{([^{}]+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")


def template_columns(template: str) -> list[str]:
    """Columns that a template uses in addition to `NAMED_BY_TEMPLATES`, in order of appearance.

    Raises:
        ValueError: braces or brackets are unbalanced or nested, or no name of the organism is used.
    """
    fields = list(dict.fromkeys(_FIELD.findall(template)))
    if any(sign in _FIELD.sub("", _OPTIONAL.sub(r"\1", template)) for sign in "{}[]"):
        raise ValueError(f"{template!r}: unbalanced; write names in {{braces}} and optional text in [square brackets]")
    if not any(name in fields for name in NAMED_BY_TEMPLATES):
        raise ValueError(f"{template!r} uses none of {', '.join(NAMED_BY_TEMPLATES)}; add one in braces")
    return [name for name in fields if name not in NAMED_BY_TEMPLATES]


def fill_template(
    template: str, taxon: Taxon, values: Mapping[str, str | None], captions: Captions = "standard"
) -> str:
    """Fill in a template such as `a photo of {sci}[, {lifeStage}].`

    Names in braces are those in `NAMED_BY_TEMPLATES` and the columns in `values`. Text in square brackets is left out
    if a name in it has no value.

    Raises:
        ValueError: the taxon has no name at all.
    """
    known = {name: name_of(taxon, name, captions) for name in NAMED_BY_TEMPLATES}
    known |= {name: _clean(value) for name, value in values.items()}

    def filled(text: str) -> str:
        return _FIELD.sub(lambda found: known[found[1]], text)

    def optional(found: re.Match[str]) -> str:
        return found[1] if all(known[name] for name in _FIELD.findall(found[1])) else ""

    return _clean(filled(_OPTIONAL.sub(optional, template)))


def published_members(taxon: Taxon) -> dict[str, str]:
    """The ten text files of a sample in the published shards, by suffix."""
    members = {
        "scientific_name.txt": taxon.scientific,
        "common_name.txt": taxon.common,
        "taxonomic_name.txt": taxon.taxonomic,
    }
    types = (*TEXT_TYPES, "taxonTag", "taxonTag_com")
    return members | {f"{text_type}.txt": caption(taxon, text_type) for text_type in types}
