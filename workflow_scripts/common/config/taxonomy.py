"""Settings of backbones and name resolution."""

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.files import digest

Strategy = Literal[
    "override",
    "taxon_key",
    "exact",
    "synonym",
    "author",
    "rank_context",
    "title_case",
    "filled",
    "fuzzy",
    "fuzzy_supported",
    "hidden_binomial",
    "higher_rank",
    "as_given",
]
HigherRank = Literal["kingdom", "phylum", "class", "order", "family", "genus"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class Backbone(Section):
    """A checklist that names are resolved against."""

    name: str = Field(pattern=r"^[a-z0-9_]+$", description="Name of the backbone. Taxon ids start with it.")
    reader: Literal["dwca", "coldp", "table"] = Field(
        description="Format: a Darwin Core Archive (GBIF Backbone), a ColDP archive (Catalogue of Life), or "
        "your own table (CSV with a header: any of the seven ranks, scientific_name, common_name)."
    )
    path: str | None = Field(None, description="Path of the folder, zip or table. Or give `url`.")
    url: str | None = Field(None, description="Address of the zip of one release, instead of `path`.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-fA-F]{64}$", description="Expected SHA-256 of the file at `url`.")

    @model_validator(mode="after")
    def _one_place(self) -> "Backbone":
        if (self.path is None) == (self.url is None):
            raise ValueError(f"backbone {self.name}: give either path or url")
        return self

    def folder(self, shared: str) -> str:
        """Its folder below the shared folder; each release has its own folder."""
        return f"{shared}/backbones/{self.name}-{digest([self.model_dump(mode='json')])[:8]}"

    def archive(self, shared: str) -> str:
        """Path of its archive: as given, or where it is downloaded to."""
        return self.path or f"{self.folder(shared)}/archive.zip"

    def watched(self, shared: str, world: str) -> list[str]:
        """Files of its archive as inputs of a rule: those in its folder, or the zip.

        Args:
            shared: the folder that corpora and runs share.
            world: the folder of the embedded world, whose tables may not exist yet.
        """
        archive = self.archive(shared)
        if archive.startswith(f"{world}/"):
            return [f"{archive}/{name}" for name in ("Taxon.tsv", "VernacularName.tsv", "meta.xml")]
        # Only the reader knows which files of a folder it needs.
        suffixes = (".csv", ".tsv", ".txt", ".tab", ".xml", ".yaml", ".gz", ".zip")
        found = sorted(str(file) for file in Path(archive).rglob("*") if file.suffix.lower() in suffixes)
        return found or [archive]


class TaxonomySettings(Section):
    """How provider labels are resolved to taxa."""

    backbones: list[Backbone] = Field(
        default=[],
        description="Backbones in order of preference: the first that has the name decides. Without any, "
        "names are used as written (strategy `as_given`).",
    )
    strategies: list[Strategy] = Field(
        default=list(STRATEGIES),
        description="Strategies to use. They are always tried in the order of the default.",
    )
    languages: list[str] = Field(
        default=["en", "eng"],
        description="Languages of common names, in order of preference: ISO 639 codes or names (`en`, `German`). "
        "`und` stands for names without a language; they are also used if a checklist states no language at all.",
    )
    common_names_up_to: HigherRank | None = Field(
        None,
        description="Highest rank whose common name may be used if neither the taxon nor its provider has one "
        "(`family`: a leaf beetle gets the common name of its family). Default: no higher rank.",
    )
    overrides: str | None = Field(
        None,
        description="CSV with corrections by a curator. Columns: the label as its provider wrote it (any of "
        "the seven ranks, scientific_name), taxon_id (`backbone:id`; empty: leave unresolved), why.",
    )
