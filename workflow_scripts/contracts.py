"""The schema of every file that passes from one stage to another.

`common.tables` checks a table against its contract when it is written and when it is read, `common.documents` does so
for JSON. Types are DuckDB's.
Identifiers (uuid, label_id, taxon ids, digests) are strings; offsets and sizes are in bytes of the member's data;
image sizes and crops are in pixels.
"""

from dataclasses import dataclass

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")

TEXT_TYPES = ("sci", "com", "taxon", "sci_com", "taxon_com")
"""The caption types that training draws from, in the order of both papers' code."""

STRING = "VARCHAR"
INTEGER = "BIGINT"
REAL = "DOUBLE"
TRUTH = "BOOLEAN"
# x and y of the upper left corner, in pixels of the original image.
CROP = "STRUCT(x BIGINT, y BIGINT, width BIGINT, height BIGINT)"


@dataclass(frozen=True)
class Column:
    """A column of a contract.

    Attributes:
        name: its name.
        type: its DuckDB type.
        null: whether it may be empty.
        values: the closed list of its values, when it has one.
    """

    name: str
    type: str = STRING
    null: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """The schema of one kind of table.

    Attributes:
        name: what a row is.
        columns: the columns it must have.
        key: columns that together are unique; rows are written in their order.
        extra: whether it may carry further columns.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    extra: bool = False


@dataclass(frozen=True)
class Document:
    """The schema of one kind of JSON file, which is an object.

    Attributes:
        name: what it says.
        keys: the keys it must have; `a.b` is b within a. It may have others.
    """

    name: str
    keys: tuple[str, ...]


def _maybe(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, null=True) for name in names)


# Over how many download parts the host is spread, and which of them this one is, from 0; null: it is in one part.
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

SOURCE_RECORDS = Contract("an image that a source offers", _RECORD, key=("uuid",), extra=True)

CATALOG = Contract(
    "an image to acquire",
    (*_RECORD, Column("generation", INTEGER), Column("part", INTEGER), *_SHARE),
    key=("uuid",),
    extra=True,
)
"""`host` is the URL's host and port, or "" for a local file, whose `source_url` is then an absolute path. The extra
column `catalog_source` is the source's name in the config.
"""

PROVIDER_LABELS = Contract(
    "a distinct label as its provider wrote it",
    (
        Column("label_id"),
        *_maybe(*RANKS, "scientific_name", "common", "taxon_key"),
        Column("images", INTEGER),
    ),
    key=("label_id",),
)
"""`common` is the provider's most frequent common name for the label, ties by alphabet; it is not part of the label.
`taxon_key` (`backbone:id`) is the taxon's id in the records, if all records with an id agree.
"""

TO_FETCH = Contract(
    "an image to download",
    (
        Column("uuid"),
        Column("source_url"),
        Column("host"),
        Column("crop", CROP, null=True),
    ),
    key=("uuid",),
    extra=True,
)
"""Columns of a catalog or replay part that downloads need. host_parts and host_turn are optional, as in CATALOG."""

NAMED_HOSTS = Contract(
    "a host that images are at",
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

DOWNLOADS = Contract("what became of one image's acquisition", _DOWNLOAD, key=("uuid",))
"""`status`: `ok` is stored in a tar; `failed` could not be downloaded; `refused` does not meet the settings;
`deferred` was not tried to the end.

`host` is as in the table of images. `seconds` is the duration of the last attempt, from request to body. `tar` is the
tar's name beside the manifest. `md5` is of the original bytes. `error` begins with one of `DOWNLOAD_REASONS`, then
": " and details, if any. `unverified`: a host's TLS certificate was not checked.
"""

GATHERED_DOWNLOADS = Contract(
    "what became of one image's acquisition, over all parts of a generation",
    (*_DOWNLOAD, Column("part", INTEGER)),
    key=("uuid",),
)

DOWNLOAD_HOSTS = Contract(
    "images of one source and host that ended alike",
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
"""`catalog_source` is the source's name in the config, or "" if unknown. `reason` is one of DOWNLOAD_REASONS, or "".
`seconds` is the mean. `stopped`: in a part, the host refused nearly all requests or did not answer. `unverified` counts
images fetched without a check of the certificate. `detail` is one of the errors. `again` counts images that a retry
may get.
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
    "a distinct provider label and the taxon it names",
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
"""`species` is the epithet in lower case, or without a genus the whole of a name that is no scientific one.
Ids are `backbone:id`. `reason` is why a label is unresolved, in a word; `detail` explains the result in a sentence.
"""

LEAKAGE = Contract(
    "a catalogue image that a benchmark has too",
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
"""`distance` is the number of PDQ's 256 bits that differ (0 for the same bytes). `positions` are the matching images of
the benchmark; `position` and `image` name the nearest one. The last columns locate the bytes of both images.
"""

_FINDING = (Column("label"), Column("score", REAL, null=True), Column("error", null=True))

FINDINGS = Contract(
    "what a judge found in an image",
    (Column("uuid"), Column("judge"), *_FINDING, Column("data_source")),
    key=("uuid", "label"),
)
"""`label` is a class of the judge, `score` a cosine similarity or a probability. An image that could not be judged has
the label `unjudged`, no score, and the reason in `error`.
"""

SEEN_FINDINGS = Contract(
    "what a judge found in a picture", (Column("uuid"), Column("picture"), *_FINDING), key=("uuid", "picture", "label")
)
"""`picture` is the MD5 of the file and the crop of it, where there is one."""

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
    "an image that another judge refuses", (Column("uuid"), Column("reason")), key=("uuid",), extra=True
)

LEDGER = Contract(
    "an image that was taken down for good",
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
"""`generation` is null for a replay pair. `split` is that of the shard that held the image, or null; its place in the
shard stays empty.
"""

VERDICTS = Contract(
    "an image's fate",
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
"""Kept images have a split and a place: member data at `offset` of `tar` in the download part `part`. A `taken_down`
image that was in a shard keeps its split, so that the other images keep their places.

`reason` is the first that applies, in the order of `VERDICT_REASONS`. All images with one value of `occurrence` are in
the same split: `occurrence ` and the occurrence's id, else `md5 ` and the digest of the file.
"""

ATTRIBUTION = Contract(
    "where a kept image comes from, and whom to name",
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
"""`cite` is a further citation, usually a DOI."""

SHARD_PLAN = Contract(
    "where a kept image goes",
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
"""`group` is the job that writes the shard. Further columns are those that the config keeps of the sources."""

HELD = Contract(
    "an image that a shard has held",
    (
        Column("sha256"),
        Column("uuid"),
        Column("md5", null=True),
        Column("pdq", null=True),
    ),
    key=("sha256", "uuid"),
)
"""`sha256` is the shard's. `md5` and `pdq` are null where the image was held before this was written down."""

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
"""`shard` is the tar's name beside the manifest."""

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
"""`offset` and `size` are of the image member's data. One row group a shard. Further columns, all text, are those that
the config keeps of the sources.
"""

SHARD_GROUP_MANIFEST = Contract(
    "a shard that one job wrote", (_SPLIT, *SHARD_MANIFEST.columns), key=("split", *SHARD_MANIFEST.key)
)

SHARD_GROUP_INDEX = Contract(
    "a sample of a shard that one job wrote",
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
"""`crop` is always null: it makes a selection part a table to fetch."""

REPLAY_INDEX = Contract(
    "a replay pair of a shard",
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
"""The caption also stands in the tar, as the member `<uuid>.txt` after `<uuid>.jpg`."""

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
"""`uuid` is the sample's key in the tar; `offset` and `size` are of its image, the others of the captions' members."""

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
"""`image` is the name as the labels give it; `path` is the file, and with `offset` and `size` the bytes within it.

`position` is the row's place in the labels, from 0; class order is the order of first appearance. Images that are
missing or unreadable have no row: they are counted and named in the account beside the table. `differs` says whether
published evaluation code, which neither turns an image nor converts its colours, sees other pixels.
"""

SEEN_SPECIES = Contract(
    "a species that a corpus trains on", (Column("species"), Column("images", INTEGER)), key=("species",)
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

An extra column `confidence` is the probability that the model gives that class; tables of older releases lack it.
"""

NEWT_ANSWERS = Contract(
    "a NeWT test image's answer by one seed's search",
    (
        Column("position", INTEGER),
        Column("protocol"),
        Column("seed", INTEGER),
        Column("correct", TRUTH),
        Column("features"),
    ),
    key=("position", "protocol", "seed"),
)
"""`features` is the digest of what the features were made from."""

EMBEDDING_MAP = Contract(
    "where an image lies on a plane",
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
"""`position` is the image's in the benchmark; x and y have no unit."""

COMPOSITION = Contract(
    "a taxon that a corpus trains on",
    (*_maybe(*RANKS), Column("images", INTEGER)),
    key=RANKS,
)
"""Ranks that are not known are null; `images` are training images of exactly this taxon."""

LABEL_STATISTICS = Document("what the labels of each source became", ("by_source", "costliest"))

CORPUS = Document(
    "what a corpus is",
    (
        *("name", "id", "digest", "shards", "bytes", "taxa", "species"),
        *(f"{samples}.{split}" for samples in ("images", "replay_pairs") for split in SPLITS),
    ),
)

TRAINING = Document(
    "what a training did",
    (
        *("steps", "samples", "replay_samples", "parameters", "skipped", "broken_samples", "best.step"),
        *("last.epoch", "last.loss", "last.logit_scale", "model", "settings", "versions"),
        *("digests.data.biology", "digests.data.replay", "digests.start", "digests.code"),
    ),
)

BENCHMARK_SCORES = Document(
    "what a model scored on a benchmark", ("benchmark", "model", "protocol", "n_images", "n_classes", "metrics")
)

LINEAGE = Document("what a model and those that it began with were trained on", ("trainings",))
"""`trainings` is a list, the model's own first: `name`, and `data`, `start` and `code` as its record's digests."""

OPEN_CLIP = Document("how open_clip makes a model", ("model_cfg", "preprocess_cfg"))

RUN = Document("what a run is", ("run", "corpus.name", "config", "digests", "versions", "costs"))
