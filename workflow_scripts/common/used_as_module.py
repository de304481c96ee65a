"""This workflow as a Snakemake module of another one."""

from typing import Any

from workflow_scripts.common.errors import InputError


def check_module(modifier: Any) -> None:
    """Have Snakemake call the module's hooks, and refuse what its guards and steps would not know of.

    Args:
        modifier: Snakemake's, of the module.

    Raises:
        InputError: the workflow that uses this one moves its files or renames its rules.
    """
    paths = modifier.path_modifier
    if paths.prefix is not None or paths._prefix_replacements is not None:
        raise InputError(
            f"module {modifier.namespace}: prefix and replace_prefix would move only what Snakemake sees; set "
            "`results` in config/site.yaml instead"
        )
    for name in modifier.rule_whitelist or ["all"]:
        if modifier.modify_rulename(name) != name:
            raise InputError(
                f"module {modifier.namespace}: rules keep their names, by which finished work is guarded; write "
                f"`use rule * from {modifier.namespace}`, without `as`"
            )
    # Snakemake registers onstart, onsuccess and onerror of a main Snakefile only, and here they guard finished work.
    modifier.base_snakefile = None
