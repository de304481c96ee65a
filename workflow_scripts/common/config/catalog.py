"""Settings of generations and of their metadata sources."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from workflow_scripts.common.config.base import NOT_IN_PATHS, Section
from workflow_scripts.common.files import digest
from workflow_scripts.contracts import CATALOG

# Keys of sources that name a folder of images.
IMAGE_FOLDERS = ("images", "eol", "bioscan", "inat21")
CONTRACT_COLUMNS = {column.name.lower() for column in CATALOG.columns} | {"place", "kept", "problem", "catalog_source"}


class Remote(Section):
    """A file to download: by `url`, by `dataset`, `revision` and `file` (Hugging Face), or by `gbif`."""

    url: str | None = Field(None, pattern=r"^https?://", description="Address of the file.")
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-fA-F]{64}$",
        description="Expected SHA-256 of the file. Default: any content is accepted.",
    )
    dataset: str | None = Field(
        None, pattern=r"^[\w.-]+/[\w.-]+$", description="A dataset on Hugging Face. A token is read from `HF_TOKEN`."
    )
    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$", description="Commit of the dataset, all 40 digits.")
    file: str | None = Field(None, description="Path of the file in the dataset.")
    gbif: str | None = Field(
        None, pattern=r"^(\d{7}-\d{15}|10\.\d{4,9}/\S+)$", description="Key or DOI of a GBIF occurrence download."
    )

    @model_validator(mode="after")
    def _one_place(self) -> "Remote":
        if sum(value is not None for value in (self.url, self.dataset, self.gbif)) != 1:
            raise ValueError("give exactly one of url, dataset and gbif")
        if (self.dataset is None) != (self.revision is None) or (self.dataset is None) != (self.file is None):
            raise ValueError("a file on Hugging Face needs dataset, revision (a commit) and file")
        return self

    def path(self, shared: str) -> str:
        """Where the file is stored below the shared folder; each release has its own folder."""
        name = PurePosixPath(self.file or urlsplit(self.url or "occurrences.zip").path).name or "file"
        name = re.sub(f"[{NOT_IN_PATHS}]", "_", name)
        return f"{shared}/sources/{digest(self.model_dump(mode='json'))[:8]}/{name}"


def _form(value: Any) -> str:
    return "given" if isinstance(value, str) else "fetched"


SourceFile = Annotated[Annotated[str, Tag("given")] | Annotated[Remote, Tag("fetched")], Discriminator(_form)]
"""The path of a file, or a file to download."""


class SourceSettings(Section):
    """Settings common to all sources."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="Name of the source within the corpus.")
    select: str | None = Field(None, description="SQL predicate over the source's columns. Other rows are left out.")
    keep: list[str] = Field(
        default_factory=list,
        description="Further columns of the source to carry into the catalog, as text (lifeStage, sex, "
        "eventDate). Caption templates can use them.",
    )

    @field_validator("keep")
    @classmethod
    def _not_contract_columns(cls, value: list[str]) -> list[str]:
        for name in value:
            if name.lower() in CONTRACT_COLUMNS:
                raise ValueError(f"{name} is already a column of the catalog; remove it")
        if len({name.lower() for name in value}) < len(value):
            raise ValueError("a column is listed twice")
        return value

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        raise NotImplementedError

    @property
    def image_folders(self) -> dict[str, str]:
        """Folders of the images that its records refer to, by option name."""
        given = {name: getattr(self, name, None) for name in IMAGE_FOLDERS}
        return {name: folder for name, folder in given.items() if isinstance(folder, str)}

    def paths(self, shared: str) -> dict[str, str]:
        """Paths of those files, by option name: as given, or where they are downloaded to."""
        return {name: file if isinstance(file, str) else file.path(shared) for name, file in self.inputs.items()}


class TreeOfLife200M(SourceSettings):
    """TreeOfLife-200M's `catalog.parquet` with its `provenance.parquet` and the boxes of its FathomNet images."""

    reader: Literal["treeoflife200m"] = Field(description="Format of the source.")
    catalog: SourceFile = Field(description="Path of catalog.parquet, or where to fetch it.")
    provenance: SourceFile | None = Field(None, description="Path of provenance.parquet, or where to fetch it.")
    crops: SourceFile | None = Field(
        None, description="Path of fathom_metadata.csv (uuid, x, y, width, height), or where to fetch it."
    )

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        given = {"catalog": self.catalog, "provenance": self.provenance, "crops": self.crops}
        return {name: path for name, path in given.items() if path}


class Table(SourceSettings):
    """A table (CSV, TSV, Excel, parquet) with a column of image URLs or paths and one that names the organism."""

    reader: Literal["table"] = Field(description="Format of the source.")
    table: SourceFile = Field(description="Path of the table, or where to fetch it.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Columns with other names than expected, as `expected: actual` (`{species: binomial}`).",
    )
    images: str | None = Field(
        None, description="Base folder of relative values of `path`. Default: the folder of the table."
    )
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="Delimiter of a text table. Default: detected."
    )
    encoding: str | None = Field(
        None, description="Encoding of a text table. Default: detected (UTF-8 or UTF-16, else Windows-1252)."
    )
    decimal: Literal[".", ","] = Field(".", description="Decimal mark of x, y, width and height.")
    sheet: str | None = Field(None, description="Sheet of an Excel workbook. Default: the first with known columns.")

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            "".encode(value or "utf-8")
        except LookupError:
            raise ValueError(
                f"{value} is not a known text encoding; common ones are utf-8, windows-1252, utf-16"
            ) from None
        return value

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        return {"table": self.table}


class Gbif(SourceSettings):
    """A GBIF download or another Darwin Core Archive of occurrences, with media in a table or in associatedMedia."""

    reader: Literal["gbif"] = Field(description="Format of the source.")
    archive: SourceFile = Field(
        description="Zip or folder of the archive, or where to fetch it (`{gbif: KEY or DOI}`)."
    )
    doi: str | None = Field(None, description="DOI to cite. Default: the DOI in the archive's metadata.xml.")
    names: Literal["accepted", "record"] = Field(
        "accepted",
        description="Name that images are labelled with: GBIF's accepted name (`species`, `genus`) or the "
        "record's own (`scientificName`). The other one is kept as the column `record_name` or `accepted_name`.",
    )
    stand_in: list[Literal["license", "rightsHolder"]] = Field(
        default_factory=list,
        description="Values to take from the record if the image has none. A record's licence covers the "
        "record's data, not the image; it is always kept as `record_license`.",
    )
    taxon_keys: str = Field(
        "gbif",
        description="Backbone whose ids are in `taxonKey`; labels are then resolved by id. If no backbone has "
        "this name, they are resolved by name only.",
    )

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        return {"archive": self.archive}


class Eol(SourceSettings):
    """The Encyclopedia of Life's `media_manifest.csv` with the `taxon.tab` of its hierarchy."""

    reader: Literal["eol"] = Field(description="Format of the source.")
    manifest: SourceFile = Field(description="Path of media_manifest.csv, or where to fetch it.")
    taxa: SourceFile = Field(description="Path of taxon.tab, or where to fetch it.")
    taxon_keys: str = Field(
        "eol",
        description="Backbone whose ids are in taxon.tab; labels are then resolved by id. If no backbone has "
        "this name, they are resolved by name only.",
    )

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        return {"manifest": self.manifest, "taxa": self.taxa}


class Bioscan(SourceSettings):
    """BIOSCAN-1M or BIOSCAN-5M: the metadata and a folder with the images."""

    reader: Literal["bioscan"] = Field(description="Format of the source.")
    metadata: SourceFile = Field(description="Path of the metadata (.csv of 5M, .tsv of 1M), or where to fetch it.")
    images: str = Field(description="Folder of the images.")
    path: str | None = Field(
        None,
        description="Path of an image in that folder, with column names in braces. Default: "
        "`{split}/{chunk}/{processid}.jpg` for 5M, `part{chunk_number}/{image_file}` for 1M.",
    )

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        return {"metadata": self.metadata}


class FathomNet(SourceSettings):
    """Image records of FathomNet's API as JSON. Each bounding box becomes an image."""

    reader: Literal["fathomnet"] = Field(description="Format of the source.")
    records: SourceFile = Field(
        description="Path of the JSON (a list of records with url and boundingBoxes), or where to fetch it."
    )

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        return {"records": self.records}


class INat21(SourceSettings):
    """iNat21's folders, `NNNNN_Kingdom_Phylum_Class_Order_Family_Genus_species/*.jpg`."""

    reader: Literal["inat21"] = Field(description="Format of the source.")
    images: str = Field(description="Folder with one folder per species (`train`, `train_mini` or `val`).")

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        return {"images": self.images}


class Folders(SourceSettings):
    """Photos in folders named after their species (`Pica_hudsonia/1.jpg`), at any depth.

    Folders that only sort images (`train`, `test`, `images`) are skipped; the folder around them names the species.
    """

    reader: Literal["folders"] = Field(description="Format of the source.")
    images: str = Field(description="Folder with one folder per species. It is only read.")

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        return {"images": self.images}


class TreeOfLife10M(SourceSettings):
    """TreeOfLife-10M's `catalog.csv` and the images of its three sources."""

    reader: Literal["treeoflife10m"] = Field(description="Format of the source.")
    catalog: SourceFile = Field(description="Path of catalog.csv, or where to fetch it.")
    eol: str | None = Field(None, description="Folder with EOL's unpacked image sets (`image_set_01/...`).")
    bioscan: str | None = Field(None, description="Folder with BIOSCAN-1M's images (`part1/...`).")
    inat21: str | None = Field(None, description="Folder with iNat21's folders (`NNNNN_.../...`).")

    @property
    def inputs(self) -> dict[str, SourceFile]:
        """Files to read, by option name."""
        given = {"catalog": self.catalog, "eol": self.eol, "bioscan": self.bioscan, "inat21": self.inat21}
        return {name: path for name, path in given.items() if path}


Source = Annotated[
    TreeOfLife200M | Table | Folders | Gbif | Eol | Bioscan | FathomNet | INat21 | TreeOfLife10M,
    Field(discriminator="reader"),
]


class Generation(Section):
    """Records added to the corpus together. Never change a generation that is built; append another one."""

    sources: list[Source] = Field(min_length=1, description="Sources of the records, in order of preference.")
    parts: int = Field(
        4,
        ge=1,
        le=5000,
        description="Number of parts, each downloaded by one job. If a job fails, only its part restarts.",
    )
