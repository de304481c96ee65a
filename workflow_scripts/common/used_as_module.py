"""Checks for the use of this workflow as a Snakemake module of another one."""

from typing import Any

from workflow_scripts.common.errors import InputError


def check_module(modifier: Any) -> None:
    """Enable this workflow's hooks, and refuse modifiers that its steps do not support.

    Args:
        modifier: Snakemake's modifier of the module.

    Raises:
        InputError: the other workflow moves files or renames rules.
    """
    paths = modifier.path_modifier
    if paths.prefix is not None or paths._prefix_replacements is not None:
        raise InputError(
            f"module {modifier.namespace}: prefix and replace_prefix are not supported, because they do not move all "
            "files; set `results` in config/site.yaml instead"
        )
    for name in modifier.rule_whitelist or ["all"]:
        if modifier.modify_rulename(name) != name:
            raise InputError(
                f"module {modifier.namespace}: rules must keep their names, by which finished work is protected; use "
                f"`use rule * from {modifier.namespace}`, without `as`"
            )
    # Snakemake registers onstart, onsuccess and onerror only for a main Snakefile; here they protect finished work.
    modifier.base_snakefile = None
