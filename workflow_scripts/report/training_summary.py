"""A training's summary as a table: quantities in words, with units, by group."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workflow_scripts.contracts import RANKS

COUNTS, LAST, VALIDATION, SPEED = "progress", "last step", "validation", "speed and machine"
MODEL, RECIPE, BATCHES, CAPTIONS, LIMITS = "model", "optimization", "data and batches", "captions", "limits"
VERSIONS, DIGESTS = "versions", "digests"
GROUPS = (COUNTS, VALIDATION, LAST, SPEED, MODEL, RECIPE, BATCHES, CAPTIONS, LIMITS, VERSIONS, DIGESTS)
PERCENT = "%"

# Group, words and unit of each key of a summary. Shares are shown in percent.
TERMS: dict[str, tuple[str, str, str]] = {
    "steps": (COUNTS, "optimizer steps", "steps"),
    "samples": (COUNTS, "biology pairs seen", "pairs"),
    "replay_samples": (COUNTS, "replay pairs seen", "pairs"),
    "last.epoch": (COUNTS, "epochs", "epochs"),
    "resumed": (COUNTS, "times resumed from a checkpoint", ""),
    "skipped": (COUNTS, "steps skipped for a non-finite loss", "steps"),
    "broken_samples": (COUNTS, "unreadable samples that were replaced", ""),
    "best.step": (VALIDATION, "step with the lowest validation loss", ""),
    "best.loss": (VALIDATION, "lowest validation loss", "nats"),
    "last.val_zero_shot": (VALIDATION, "zero-shot accuracy", PERCENT),
    **{f"last.val_rank_{rank}": (VALIDATION, f"accuracy by rank, {rank}", PERCENT) for rank in RANKS},
    "last.loss": (LAST, "loss", "nats"),
    "last.loss_biology": (LAST, "loss on biology pairs", "nats"),
    "last.loss_replay": (LAST, "loss on replay pairs", "nats"),
    "last.gradient_norm": (LAST, "gradient norm", ""),
    "last.lr": (LAST, "learning rate", ""),
    "last.logit_scale": (LAST, "logit scale (inverse temperature)", ""),
    "last.text_type": (LAST, "text type", ""),
    "last.samples_per_second": (LAST, "throughput", "pairs/s"),
    "last.data_wait": (LAST, "time spent waiting for data", PERCENT),
    "seconds": (SPEED, "training time", "s"),
    "samples_per_second": (SPEED, "throughput, biology and replay", "pairs/s"),
    "data_wait": (SPEED, "time spent waiting for data", PERCENT),
    "pairs_at_once": (SPEED, "microbatch of a process", "pairs"),
    "processes": (SPEED, "processes (ranks)", ""),
    "device": (SPEED, "device", ""),
    "parameters": (MODEL, "parameters", ""),
    "second_projector": (MODEL, "has a second visual projector", ""),
    "model.architecture": (MODEL, "architecture", ""),
    "model.start": (MODEL, "starting weights", ""),
    "model.replay_projector_from": (MODEL, "second projector initialized from", ""),
    "model.mean": (MODEL, "normalization mean", ""),
    "model.std": (MODEL, "normalization standard deviation", ""),
    "settings.epochs": (RECIPE, "epochs", "epochs"),
    "settings.lr": (RECIPE, "peak learning rate", ""),
    "settings.warmup_steps": (RECIPE, "linear warm-up", "steps"),
    "settings.betas": (RECIPE, "AdamW betas", ""),
    "settings.eps": (RECIPE, "AdamW epsilon", ""),
    "settings.weight_decay": (RECIPE, "weight decay", ""),
    "settings.clip_norm": (RECIPE, "gradient clipping norm", ""),
    "settings.layer_decay": (RECIPE, "learning-rate decay per layer", ""),
    "settings.tune_blocks": (RECIPE, "last blocks trained", "blocks"),
    "settings.second_projector": (RECIPE, "second visual projector for replay", ""),
    "settings.precision": (RECIPE, "precision", ""),
    "settings.compile": (RECIPE, "blocks compiled (torch.compile)", ""),
    "settings.grad_checkpointing": (RECIPE, "activation checkpointing", ""),
    "settings.deterministic": (RECIPE, "deterministic algorithms only", ""),
    "settings.allow_cpu": (RECIPE, "CPU allowed", ""),
    "settings.seed": (RECIPE, "random seed", ""),
    "settings.max_skipped": (RECIPE, "skipped steps before training stops", "steps"),
    "settings.global_batch": (BATCHES, "biology batch, all processes", "pairs"),
    "settings.replay_batch": (BATCHES, "replay batch, all processes", "pairs"),
    "settings.val_batches": (BATCHES, "validation batches after each epoch", "batches"),
    "settings.split": (BATCHES, "training split", ""),
    "settings.shuffle_window": (BATCHES, "shuffle window", "shards"),
    "settings.augment_scale": (BATCHES, "random crop, share of the area", ""),
    "settings.max_broken_share": (BATCHES, "unreadable samples before training stops", PERCENT),
    "settings.captions": (CAPTIONS, "caption rules", ""),
    "settings.templates": (CAPTIONS, "caption templates", ""),
    "settings.text_types": (CAPTIONS, "text types", ""),
    "settings.text_type_per": (CAPTIONS, "one text type drawn per", ""),
    "settings.validation_text_type": (CAPTIONS, "text type in validation", ""),
    "limits.nodes": (LIMITS, "machines", ""),
    "limits.processes": (LIMITS, "processes per machine", ""),
    "limits.workers": (LIMITS, "loader workers per process", ""),
    "limits.max_batch": (LIMITS, "largest microbatch", "pairs"),
    "limits.stage_gb": (LIMITS, "local copies of shards", "GB"),
    "limits.checkpoint_steps": (LIMITS, "steps between checkpoints", "steps"),
    "limits.checkpoint_minutes": (LIMITS, "time between checkpoints", "min"),
    "limits.keep_checkpoints": (LIMITS, "checkpoints kept", ""),
    "limits.keep_epochs": (LIMITS, "a checkpoint of each epoch kept", ""),
    "limits.restarts": (LIMITS, "restarts after a failed rank", ""),
    "limits.wandb": (LIMITS, "Weights & Biases", ""),
    "digests.code": (DIGESTS, "training code", ""),
    "digests.version": (DIGESTS, "training step's version", ""),
    "digests.start": (DIGESTS, "starting model", ""),
}
PLACES = {key: place for place, key in enumerate(TERMS)}
# The same for keys with a name at their end.
PREFIXES: dict[str, tuple[str, str, str]] = {
    "last.val_loss_": (VALIDATION, "loss, {}", "nats"),
    "last.val_retrieval_": (VALIDATION, "retrieval within the batch, {}", PERCENT),
    "last.val_zero_shot_": (VALIDATION, "zero-shot accuracy, {}", PERCENT),
    "last.": (LAST, "{}", ""),
    "text_types.": (CAPTIONS, "steps with text type {}", "steps"),
    "model.architecture.": (MODEL, "architecture, {}", ""),
    "model.": (MODEL, "{}", ""),
    "settings.templates.": (CAPTIONS, "template of {}", ""),
    "settings.": (RECIPE, "{}", ""),
    "limits.wandb.": (LIMITS, "Weights & Biases, {}", ""),
    "limits.": (LIMITS, "{}", ""),
    "versions.": (VERSIONS, "{}", ""),
    "digests.data.": (DIGESTS, "training data, {}", ""),
    "digests.": (DIGESTS, "{}", ""),
    "": (COUNTS, "{}", ""),
}
# Values of the last step that the summary has at its top level too.
REPEATED = ("last.samples", "last.step", "last.skipped")
# Config keys of what a summary records.
CONFIG_KEYS = {"settings.": "train.", "limits.": "limits.train."}


@dataclass(frozen=True)
class Quantity:
    """One row of the table.

    Attributes:
        group: one of `GROUPS`.
        words: what it is.
        text: the value, for display.
        number: the value in `unit`; None if it is not a number.
        unit: the unit; "" if it has none.
        key: the config key of a setting, else the key in `summary.json`.
        place: its place within the group.
    """

    group: str
    words: str
    text: str
    number: float | None
    unit: str
    key: str
    place: int


def quantities(summary: Mapping[str, Any]) -> list[Quantity]:
    """Rows of a training's summary, by group.

    Args:
        summary: contents of `summary.json` (contract TRAINING).
    """
    shown = dict(summary)
    if isinstance(shown.get("broken_samples"), list):
        shown["broken_samples"] = len(shown["broken_samples"])
    rows = [_quantity(key, value) for key, value in _flat(shown) if key not in REPEATED]
    return sorted(rows, key=lambda row: (GROUPS.index(row.group), row.place))


def _quantity(key: str, value: Any) -> Quantity:
    prefix = next(prefix for prefix in PREFIXES if key.startswith(prefix))
    group, words, unit = TERMS.get(key) or PREFIXES[prefix]
    words = words.format(key.removeprefix(prefix).replace("_", " ").replace(".", " "))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = (100 * value if unit == PERCENT else value) if is_number else None
    text = _text(value) if number is None else _number_text(number)
    section = next((one for one in CONFIG_KEYS if key.startswith(one)), "")
    shown_key = CONFIG_KEYS.get(section, "") + key.removeprefix(section)
    place = PLACES.get(key, len(PLACES))
    return Quantity(group, words, text, number, unit if is_number else "", shown_key, place)


def _flat(value: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    """A nested value as pairs of dotted name and value; empty mappings are values."""
    for part, inner in value.items():
        key = f"{name}.{part}".strip(".")
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, key)
        elif isinstance(inner, list) and any(isinstance(one, Mapping) for one in inner):
            yield from _flat({str(number): one for number, one in enumerate(inner)}, key)
        else:
            yield key, inner


def _text(value: Any) -> str:
    if value is None or value in ({}, []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _number_text(number: float) -> str:
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number:,.4g}" if abs(number) < 1000 else f"{number:,.0f}"
