"""Complete all rules once they are defined: keep params literal, combine sbatch options, check messages."""

import string
from collections.abc import Callable
from typing import Any

from snakemake.resources import Resource
from snakemake.rules import Rule

from workflow_scripts.common.jobs import JOB_OPTIONS


def literally(text: str) -> str:
    """Escape braces in a text of the config or a path, for use in a message of a rule."""
    return text.replace("{", "{{").replace("}", "}}")


def complete(rule: Rule, *, dry_run: bool) -> None:
    """Keep the rule's params literal, and append its sbatch options to those of `--set-resources RULE:slurm_extra`.

    Snakemake replaces `{name}` in params that are strings or lists of strings. Ours contain text from the config
    (templates, patterns, JSON, paths), so each becomes a function, whose result Snakemake does not format. Params that
    depend on wildcards are functions already.

    Snakemake prints a rule's message instead of its name and files, so messages are removed in a dry run.

    Args:
        rule: the rule.
        dry_run: whether this is a dry run.
    """
    params = {name: value if callable(value) else _literal(value) for name, value in rule.params.items()}
    rule.params.clear()
    rule.set_params(**params)
    if JOB_OPTIONS in rule.resources:
        rule.resources["slurm_extra"] = _combined_options(
            rule.resources.get("slurm_extra"), rule.resources.get(JOB_OPTIONS).value
        )
    _check_message(rule)
    if dry_run:
        rule.message = None


def _check_message(rule: Rule) -> None:
    """Check that a rule has a message whose fields are wildcards of the rule.

    Raises:
        ValueError: it has no message, or one that would fail while a run is under way.
    """
    known = {f"wildcards.{name}" for name in rule.wildcard_names}
    if not rule.message:
        raise ValueError(f"rule {rule.name}: no message")
    fields = {field for _, field, _, _ in string.Formatter().parse(rule.message) if field is not None}
    if fields - known:
        raise ValueError(f"rule {rule.name}: message: {', '.join(sorted(fields - known))}: not a wildcard of the rule")


def _literal(value: Any) -> Callable[..., Any]:
    def param(wildcards: Any) -> Any:
        return value

    return param


def _combined_options(given: Resource, own: str) -> Callable[..., str]:
    def options(wildcards: Any, **job: Any) -> str:
        return " ".join(filter(None, [given.evaluate(wildcards, **job).value, own]))

    return options
