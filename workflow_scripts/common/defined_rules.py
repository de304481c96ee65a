"""Applied to every rule once all of them are defined: params hold text, job options add up, messages can be filled."""

import string
from collections.abc import Callable
from typing import Any

from snakemake.resources import Resource
from snakemake.rules import Rule

from workflow_scripts.common.jobs import JOB_OPTIONS


def literally(text: str) -> str:
    """Text of a config or a path within a message, where Snakemake would replace `{name}`."""
    return text.replace("{", "{{").replace("}", "}}")


def complete(rule: Rule, *, dry_run: bool) -> None:
    """Take the rule's params literally, and add its sbatch options to what `--set-resources RULE:slurm_extra` gives.

    Snakemake prints a message in place of the rule's name and files, so a dry run, which is there to show them, has
    none.

    Snakemake replaces `{name}` in params that are strings or lists of strings. They hold text from a config (templates,
    patterns, JSON, paths), so each becomes a function: what a function returns is left as it is. A param that depends
    on wildcards is a function already.

    Args:
        rule: the rule.
        dry_run: whether jobs are only listed.
    """
    params = {name: value if callable(value) else _literal(value) for name, value in rule.params.items()}
    rule.params.clear()
    rule.set_params(**params)
    if JOB_OPTIONS in rule.resources:
        rule.resources["slurm_extra"] = _both(rule.resources.get("slurm_extra"), rule.resources.get(JOB_OPTIONS).value)
    _check_message(rule)
    if dry_run:
        rule.message = None


def _check_message(rule: Rule) -> None:
    """Every rule says what it does, and names no more than its wildcards.

    Raises:
        ValueError: it does not, which would end a run in its middle.
    """
    known = {f"wildcards.{name}" for name in rule.wildcard_names}
    if not rule.message:
        raise ValueError(f"rule {rule.name}: no message")
    fields = {field for _, field, _, _ in string.Formatter().parse(rule.message) if field is not None}
    if fields - known:
        raise ValueError(f"rule {rule.name}: message: {', '.join(sorted(fields - known))}: no wildcard of the rule")


def _literal(value: Any) -> Callable[..., Any]:
    def param(wildcards: Any) -> Any:
        return value

    return param


def _both(given: Resource, own: str) -> Callable[..., str]:
    def options(wildcards: Any, **job: Any) -> str:
        return " ".join(filter(None, [given.evaluate(wildcards, **job).value, own]))

    return options
