"""What the jobs of a rule ask of a cluster."""

from pydantic import Field

from workflow_scripts.common.config.base import Section

# Rules, by name; of those made by name (`eval_<benchmark>`, `catalog_merge_<generation>`) the part in common.
JOBS = (
    "world",
    "catalog_fetch",
    "catalog_source",
    "catalog_merge",
    "download_hosts",
    "download",
    "retry_failed",
    "estimate",
    "download_gather",
    "taxonomy_fetch",
    "taxonomy_backbone",
    "taxonomy_resolve",
    "taxonomy_stats",
    "curate_leakage",
    "curate",
    "curate_attribution",
    "shards_plan",
    "shards_write",
    "shards_gather",
    "verify",
    "replay_select",
    "replay_download",
    "replay_write",
    "index_tars",
    "model_fetch",
    "pretrain",
    "pretrain_export",
    "train_run",
    "model_export",
    "species_texts",
    "model_card",
    "benchmark_fetch",
    "benchmark_index",
    "benchmark_replay",
    "benchmark_carve",
    "embed",
    "tsne",
    "intrinsic",
    "seen_species",
    "newt_search",
    "eval",
    "leakage_search",
    "leakage_scores",
    "report_corpus",
    "report_build",
    "publish_model",
    "publish_dataset",
    "crate",
)


class JobLimits(Section):
    """What one job asks for. A job that is tried again asks for as many times more memory and time."""

    cores: int | None = Field(None, ge=1, description="Cores (on each machine).")
    memory_mb: int | None = Field(
        None, ge=512, description="Memory (on each machine), MB; none: the site's `memory_mb`."
    )
    minutes: int | None = Field(
        None, ge=1, description="Time; none: 4 hours, and for training all that the site allows."
    )
    gpus: int | None = Field(
        None, ge=0, description="GPUs (on each machine); none: what training and embedding need, unless on the CPU."
    )
