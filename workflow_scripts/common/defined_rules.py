"""Applied to every rule once all of them are defined: params hold text, and job options add up."""

from collections.abc import Callable
from typing import Any

from snakemake.resources import Resource
from snakemake.rules import Rule

from workflow_scripts.common.jobs import JOB_OPTIONS


def complete(rule: Rule) -> None:
    """Take the rule's params literally, and add its sbatch options to what `--set-resources RULE:slurm_extra` gives.

    Snakemake replaces `{name}` in params that are strings or lists of strings. They hold text from a config (templates,
    patterns, JSON, paths), so each becomes a function: what a function returns is left as it is. A param that depends
    on wildcards is a function already.
    """
    params = {name: value if callable(value) else _literal(value) for name, value in rule.params.items()}
    rule.params.clear()
    rule.set_params(**params)
    if JOB_OPTIONS in rule.resources:
        rule.resources["slurm_extra"] = _both(rule.resources.get("slurm_extra"), rule.resources.get(JOB_OPTIONS).value)


def _literal(value: Any) -> Callable[..., Any]:
    def param(wildcards: Any) -> Any:
        return value

    return param


def _both(given: Resource, own: str) -> Callable[..., str]:
    def options(wildcards: Any, **job: Any) -> str:
        return " ".join(filter(None, [given.evaluate(wildcards, **job).value, own]))

    return options
