"""The schema of every file that passes from one stage to another.

`common.tables` checks tables against their contracts on every write and read; `common.documents` checks JSON files.
Types are DuckDB's. Identifiers (uuid, label_id, taxon ids, digests) are strings. Offsets and sizes are in bytes of the
member's data, image sizes and crops in pixels.
"""

from dataclasses import dataclass

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")

TEXT_TYPES = ("sci", "com", "taxon", "sci_com", "taxon_com")
"""The caption types that training samples from, in the order of both papers' code."""

STRING = "VARCHAR"
INTEGER = "BIGINT"
REAL = "DOUBLE"
TRUTH = "BOOLEAN"
# In pixels of the original image; x and y are the upper left corner.
CROP = "STRUCT(x BIGINT, y BIGINT, width BIGINT, height BIGINT)"


@dataclass(frozen=True)
class Column:
    """A column of a contract.

    Attributes:
        name: column name.
        type: DuckDB type.
        null: whether values may be null.
        values: the allowed values; empty if any value is allowed.
    """

    name: str
    type: str = STRING
    null: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """The schema of one kind of table.

    Attributes:
        name: what a row describes.
        columns: required columns.
        key: columns that together are unique; rows are sorted by them.
        extra: whether further columns are allowed.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    extra: bool = False


@dataclass(frozen=True)
class Document:
    """The schema of one kind of JSON file. Its top level is an object.

    Attributes:
        name: what the file describes.
        keys: required keys; `a.b` is key b of object a. Further keys are allowed.
    """

    name: str
    keys: tuple[str, ...]


def _maybe(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, null=True) for name in names)


# The number of download parts that share the host, and this part's index among them, from 0. Null: one part has it all.
_SHARE = (Column("host_parts", INTEGER, null=True), Column("host_turn", INTEGER, null=True))

_RECORD = (
    Column("uuid"),
    Column("label_id"),
    Column("data_source"),
    Column("source_id", null=True),
    Column("source_url"),
    Column("host"),
    *_maybe(*RANKS, "scientific_name", "common"),
    *_maybe("publisher", "dataset_key", "basisOfRecord", "img_type", "occurrence_id"),
    Column("crop", CROP, null=True),
    *_maybe("license_name", "license", "copyright_owner", "creator", "license_link", "title"),
)

SOURCE_RECORDS = Contract("an image of a source", _RECORD, key=("uuid",), extra=True)

CATALOG = Contract(
    "an image to download",
    (*_RECORD, Column("generation", INTEGER), Column("part", INTEGER), *_SHARE),
    key=("uuid",),
    extra=True,
)
"""`host` is the URL's host and port. For a local file it is "" and `source_url` is an absolute path. The extra column
`catalog_source` is the source's name in the config.
"""

PROVIDER_LABELS = Contract(
    "a distinct label, as written by its provider",
    (
        Column("label_id"),
        *_maybe(*RANKS, "scientific_name", "common", "taxon_key"),
        Column("images", INTEGER),
    ),
    key=("label_id",),
)
"""`common` is the provider's most frequent common name for the label (the first in alphabetical order if tied); it is
not part of the label. `taxon_key` (`backbone:id`) is the taxon id in the records, null if they disagree.
"""

TO_FETCH = Contract(
    "an image to fetch",
    (
        Column("uuid"),
        Column("source_url"),
        Column("host"),
        Column("crop", CROP, null=True),
    ),
    key=("uuid",),
    extra=True,
)
"""The columns of a catalog or replay part that the download step reads. `host_parts` and `host_turn` (see CATALOG) are
optional.
"""

NAMED_HOSTS = Contract(
    "a host that serves images",
    (Column("host"), Column("images", INTEGER)),
    key=("host",),
)

DOWNLOAD_STATUS = ("ok", "failed", "refused", "deferred")

_DOWNLOAD = (
    Column("uuid"),
    Column("host", null=True),
    Column("status", values=DOWNLOAD_STATUS),
    Column("error", null=True),
    Column("attempts", INTEGER),
    Column("http_status", INTEGER, null=True),
    Column("seconds", REAL, null=True),
    Column("final_url", null=True),
    Column("retrieved_at", null=True),
    Column("content_type", null=True),
    Column("md5", null=True),
    Column("pdq", null=True),
    Column("original_width", INTEGER, null=True),
    Column("original_height", INTEGER, null=True),
    Column("width", INTEGER, null=True),
    Column("height", INTEGER, null=True),
    Column("tar", null=True),
    Column("offset", INTEGER, null=True),
    Column("size", INTEGER, null=True),
    Column("unverified", TRUTH, null=True),
)

DOWNLOADS = Contract("the download outcome of an image", _DOWNLOAD, key=("uuid",))
"""`status`: `ok`: stored in a tar; `failed`: could not be downloaded; `refused`: violates the settings; `deferred`: not
all attempts were made.

`host` is copied from the table of images. `seconds` is the duration of the last attempt, from the request to the end of
the body. `tar` is a file name in the manifest's folder. `md5` is that of the original bytes. `error` starts with one of
`DOWNLOAD_REASONS`, followed by ": " and details, if any. `unverified` is true if a TLS certificate was not checked.
"""

GATHERED_DOWNLOADS = Contract(
    "the download outcome of an image, over all parts of a generation",
    (*_DOWNLOAD, Column("part", INTEGER)),
    key=("uuid",),
)

DOWNLOAD_HOSTS = Contract(
    "a group of images with the same source, host, status and reason",
    (
        Column("catalog_source"),
        Column("host"),
        Column("status", values=DOWNLOAD_STATUS),
        Column("reason"),
        Column("images", INTEGER),
        Column("attempts", INTEGER),
        Column("seconds", REAL, null=True),
        Column("stopped", TRUTH),
        Column("unverified", INTEGER, null=True),
        Column("detail", null=True),
        Column("again", INTEGER),
    ),
    key=("catalog_source", "host", "status", "reason"),
)
"""`catalog_source` is the source's name in the config, or "" if unknown. `reason` is one of `DOWNLOAD_REASONS`, or "".
`seconds` is the mean over the images. `stopped` is true if, in any part, the host refused nearly all requests or did
not answer. `unverified` counts images whose TLS certificate was not checked. `detail` is an example of the errors.
`again` counts images that `retry_failed` requests again.
"""

DOWNLOAD_REASONS = (
    "http_error",
    "connection",
    "unknown_host",
    "certificate",
    "timeout",
    "not_an_image",
    "unsupported",
    "truncated",
    "too_small",
    "too_large",
    "disallowed_by_robots",
    "disallowed_address",
    "bad_crop",
    "needs_memory",
    "missing_file",
    "taken_down",
    "other",
)

MATCH_TYPES = ("override", "exact", "synonym", "homonym", "fuzzy", "higher_rank", "as_given", "none")

LABELS = Contract(
    "a distinct provider label and its taxon",
    (
        Column("label_id"),
        *_maybe(*(f"provider_{rank}" for rank in RANKS), "provider_scientific_name", "provider_common"),
        *_maybe(*RANKS, "scientific_name", "common_name", "common_name_rank"),
        *_maybe("taxon_id", "accepted_id"),
        Column("match_type", values=MATCH_TYPES),
        Column("strategy"),
        Column("confidence", REAL),
        *_maybe("resolved_rank", "reason", "detail"),
        Column("images", INTEGER),
    ),
    key=("label_id",),
)
"""`species` is the epithet in lower case or, without a genus, a complete name that is not scientific. Ids are
`backbone:id`. `reason` is a keyword that says why a label is unresolved; `detail` explains the result in a sentence.
"""

LEAKAGE = Contract(
    "a catalog image that is also in a benchmark",
    (
        Column("uuid"),
        Column("benchmark"),
        Column("distance", INTEGER),
        Column("same_bytes", TRUTH),
        Column("positions", "BIGINT[]"),
        Column("position", INTEGER),
        Column("image"),
        Column("benchmark_path"),
        Column("benchmark_offset", INTEGER, null=True),
        Column("benchmark_size", INTEGER, null=True),
        Column("part", INTEGER),
        Column("tar"),
        Column("offset", INTEGER),
        Column("size", INTEGER),
    ),
    key=("uuid", "benchmark"),
)
"""`distance` is the number of differing bits, out of the 256 of a PDQ hash (0 for identical bytes). `positions` are the
matching images of the benchmark; `position` and `image` are those of the nearest one. The last columns locate the bytes
of both images.
"""

_FINDING = (Column("label"), Column("score", REAL, null=True), Column("error", null=True))

FINDINGS = Contract(
    "a judge's score for an image",
    (Column("uuid"), Column("judge"), *_FINDING, Column("data_source")),
    key=("uuid", "label"),
)
"""`label` is one of the judge's classes; `score` is a cosine similarity or a probability. An image that could not be
judged has the label `unjudged`, a null score, and the reason in `error`.
"""

SEEN_FINDINGS = Contract(
    "a judge's score for a picture", (Column("uuid"), Column("picture"), *_FINDING), key=("uuid", "picture", "label")
)
"""`picture` is the file's MD5, followed by the crop if there is one."""

SPLITS = ("train", "val")
_SPLIT = Column("split", values=SPLITS)

VERDICT_REASONS = (
    "taken_down",
    "download_failed",
    "unreadable",
    "too_small",
    "basis_of_record",
    "camera_trap_sequence",
    "licence",
    "outside_verdict",
    "screened",
    "unresolved",
    "taxon_excluded",
    "rank_too_high",
    "held_out_species",
    "placeholder",
    "leakage",
    "duplicate",
    "over_cap",
    "below_floor",
)

OUTSIDE_VERDICTS = Contract(
    "an image rejected by an external judge", (Column("uuid"), Column("reason")), key=("uuid",), extra=True
)

LEDGER = Contract(
    "an image that was taken down permanently",
    (
        Column("uuid"),
        Column("md5", null=True),
        Column("generation", INTEGER, null=True),
        Column("split", null=True, values=SPLITS),
        Column("date"),
        Column("reason"),
    ),
    key=("uuid",),
)
"""`generation` is null for a replay pair. `split` is that of the shard that contained the image, or null; the image's
position in the shard stays empty.
"""

VERDICTS = Contract(
    "the verdict on an image",
    (
        Column("uuid"),
        Column("label_id"),
        Column("split", null=True, values=SPLITS),
        Column("keep", TRUTH),
        Column("reason", null=True, values=VERDICT_REASONS),
        Column("detail", null=True),
        Column("occurrence", null=True),
        Column("md5", null=True),
        Column("crop", CROP, null=True),
        Column("part", INTEGER),
        Column("tar", null=True),
        Column("offset", INTEGER, null=True),
        Column("size", INTEGER, null=True),
    ),
    key=("uuid",),
)
"""Kept images have a split and a location: member data at `offset` of `tar` in download part `part`. A `taken_down`
image that was in a shard keeps its split, so that the other images keep their positions.

`reason` is the first one that applies, in the order of `VERDICT_REASONS`. Images with the same `occurrence` are in the
same split; its value is `occurrence ` and the occurrence id or, without one, `md5 ` and the file's MD5.
"""

ATTRIBUTION = Contract(
    "the source and attribution of a kept image",
    (
        Column("uuid"),
        Column("data_source"),
        *_maybe("source_id"),
        Column("source_url"),
        *_maybe("publisher", "dataset_key", "creator", "copyright_owner", "title"),
        *_maybe("license", "license_name", "license_link", "cite"),
    ),
    key=("uuid",),
)
"""`cite` is an additional citation, usually a DOI."""

SHARD_PLAN = Contract(
    "the shard and position of a kept image",
    (
        Column("split", values=SPLITS),
        Column("shard", INTEGER),
        Column("position", INTEGER),
        Column("group", INTEGER),
        Column("uuid"),
        Column("label_id"),
        Column("md5"),
        Column("part", INTEGER),
        Column("tar"),
        Column("offset", INTEGER),
        Column("size", INTEGER),
    ),
    key=("split", "shard", "position"),
    extra=True,
)
"""`group` is the number of the job that writes the shard. Further columns are the sources' columns named by `keep`."""

PAST_IMAGES = Contract(
    "an image that is or was in a shard",
    (
        Column("sha256"),
        Column("uuid"),
        Column("md5", null=True),
        Column("pdq", null=True),
    ),
    key=("sha256", "uuid"),
)
"""`sha256` is that of the shard. `md5` and `pdq` are null for images from releases that did not record them."""

SHARD_MANIFEST = Contract(
    "a shard",
    (
        Column("shard"),
        Column("samples", INTEGER),
        Column("bytes", INTEGER),
        Column("sha256"),
    ),
    key=("shard",),
)
"""`shard` is the tar's file name, in the manifest's folder."""

SHARD_INDEX = Contract(
    "a sample of a shard",
    (
        Column("uuid"),
        Column("shard"),
        Column("position", INTEGER),
        Column("offset", INTEGER),
        Column("size", INTEGER),
        Column("label_id"),
    ),
    key=("shard", "position"),
    extra=True,
)
"""`offset` and `size` locate the image member's data. There is one row group per shard. Further columns, all text, are
the sources' columns named by `keep`.
"""

SHARD_GROUP_MANIFEST = Contract(
    "a shard written by one job", (_SPLIT, *SHARD_MANIFEST.columns), key=("split", *SHARD_MANIFEST.key)
)

SHARD_GROUP_INDEX = Contract(
    "a sample of a shard written by one job",
    (_SPLIT, *SHARD_INDEX.columns),
    key=("split", *SHARD_INDEX.key),
    extra=True,
)

REPLAY_SELECTION = Contract(
    "a replay pair to download",
    (
        Column("uuid"),
        Column("source_url"),
        Column("host"),
        Column("crop", CROP, null=True),
        Column("caption"),
        Column("split", values=SPLITS),
        Column("part", INTEGER),
        *_SHARE,
    ),
    key=("uuid",),
)
"""`crop` is always null; the column is there because downloads require it (see TO_FETCH)."""

REPLAY_INDEX = Contract(
    "a replay pair in a shard",
    (
        Column("uuid"),
        Column("shard"),
        Column("position", INTEGER),
        Column("offset", INTEGER),
        Column("size", INTEGER),
        Column("caption"),
    ),
    key=("shard", "position"),
)
"""The caption is also in the tar, as the member `<uuid>.txt` after `<uuid>.jpg`."""

REFERENCE_INDEX = Contract(
    "a sample of a shard in the published layout",
    (
        Column("uuid"),
        Column("shard"),
        Column("position", INTEGER),
        Column("offset", INTEGER),
        Column("size", INTEGER),
        *(Column(f"{text_type}_{place}", INTEGER) for text_type in TEXT_TYPES for place in ("offset", "size")),
    ),
    key=("shard", "position"),
)
"""`uuid` is the sample's key in the tar. `offset` and `size` locate its image, the other columns its captions."""

BENCHMARK_IMAGES = Contract(
    "a benchmark image",
    (
        Column("position", INTEGER),
        Column("image"),
        Column("path"),
        Column("offset", INTEGER, null=True),
        Column("size", INTEGER, null=True),
        Column("md5"),
        Column("pdq", null=True),
        Column("class"),
        *_maybe(*(f"taxon_{rank}" for rank in RANKS), "common_name"),
        Column("split", null=True),
        Column("differs", TRUTH, null=True),
    ),
    key=("position",),
    extra=True,
)
"""`image` is the image's name in the benchmark's labels. `path` is the file; `offset` and `size`, if not null, locate
the image's bytes in it.

`position` is the row's index in the labels, from 0. Classes are ordered by first appearance. Missing and unreadable
images have no row; the account beside the table counts and names them. `differs` is true if published evaluation code,
which neither rotates images nor converts their colours, reads different pixels.
"""

SEEN_SPECIES = Contract(
    "a species in a corpus's training images", (Column("species"), Column("images", INTEGER)), key=("species",)
)
"""`species` is the binomial in lower case."""

PREDICTIONS = Contract(
    "a zero-shot prediction",
    (
        Column("position", INTEGER),
        Column("image"),
        Column("class"),
        Column("predicted"),
        Column("score", REAL),
        Column("correct", TRUTH),
    ),
    key=("position",),
    extra=True,
)
"""`score` is the cosine similarity of the image and the predicted class.

The extra column `confidence` is the predicted probability of that class; tables of older releases lack it.
"""

NEWT_ANSWERS = Contract(
    "a prediction for a NeWT test image, with one seed",
    (
        Column("position", INTEGER),
        Column("protocol"),
        Column("seed", INTEGER),
        Column("correct", TRUTH),
        Column("features"),
    ),
    key=("position", "protocol", "seed"),
)
"""`features` is the digest of the inputs that the features were computed from."""

EMBEDDING_MAP = Contract(
    "an image's position in a two-dimensional map of embeddings",
    (
        Column("position", INTEGER),
        Column("image"),
        Column("class"),
        *_maybe(*(f"taxon_{rank}" for rank in RANKS), "common_name"),
        Column("x", REAL),
        Column("y", REAL),
    ),
    key=("position",),
)
"""`position` is the image's index in the benchmark; x and y have no unit."""

COMPOSITION = Contract(
    "a taxon in a corpus's training images",
    (*_maybe(*RANKS), Column("images", INTEGER)),
    key=RANKS,
)
"""Unknown ranks are null. `images` counts the training images of exactly this taxon."""

LABEL_STATISTICS = Document("how the labels of each source were resolved", ("by_source", "costliest"))

CORPUS = Document(
    "a summary of a corpus",
    (
        *("name", "id", "digest", "shards", "bytes", "taxa", "species"),
        *(f"{samples}.{split}" for samples in ("images", "replay_pairs") for split in SPLITS),
    ),
)

TRAINING = Document(
    "a summary of a training",
    (
        *("steps", "samples", "replay_samples", "parameters", "skipped", "broken_samples", "best.step"),
        *("last.epoch", "last.loss", "last.logit_scale", "model", "settings", "versions"),
        *("digests.data.biology", "digests.data.replay", "digests.start", "digests.code"),
    ),
)

BENCHMARK_SCORES = Document(
    "a model's scores on a benchmark", ("benchmark", "model", "protocol", "n_images", "n_classes", "metrics")
)

LINEAGE = Document("the training data of a model and of the models it was initialized from", ("trainings",))
"""`trainings` is a list that starts with the model's own training. Each has `name`, and the digests `data`, `start` and
`code` of its record.
"""

OPEN_CLIP = Document("an open_clip model config", ("model_cfg", "preprocess_cfg"))

RUN = Document("a summary of a run", ("run", "corpus.name", "config", "digests", "versions", "costs"))
