"""Kept images into training shards, globally shuffled, by a fixed number of jobs."""

SHARD_GROUPS = [f"{number:03d}" for number in range(CONFIG.shard_jobs)]
KEPT = {
    generation: sorted({name for source in sources_of(generation).values() for name in source.keep})
    for generation in GENERATIONS
}


rule shards_plan:
    input:
        verdicts=f"{CORPUS}/curate/{{generation}}/verdicts.parquet",
        kept_in=kept_in,
    output:
        plan=f"{CORPUS}/shards/{{generation}}/plan.parquet",
    log:
        f"{CORPUS_LOGS}/shards/{{generation}}/plan.log",
    benchmark:
        f"{CORPUS_LOGS}/shards/{{generation}}/plan.tsv"
    conda:
        ENVIRONMENT
    threads: cores("shards_plan")
    resources:
        **asks("shards_plan"),
    params:
        settings=CONFIG.shards.to_json(),
        groups=len(SHARD_GROUPS),
        keep=kept_columns,
        version=step_version("shards.plan"),
    shell:
        "python -m workflow_scripts.shards.plan --verdicts {input.verdicts:q} --settings {params.settings:q} "
        "--groups {params.groups} --catalog {input.kept_in:q} --keep {params.keep:q} --out {output.plan:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


rule shards_write:
    input:
        plan=f"{CORPUS}/shards/{{generation}}/plan.parquet",
    output:
        manifest=f"{CORPUS}/shards/{{generation}}/groups/group-{{group}}.manifest.parquet",
        index=f"{CORPUS}/shards/{{generation}}/groups/group-{{group}}.index.parquet",
    log:
        f"{CORPUS_LOGS}/shards/{{generation}}/group-{{group}}.log",
    benchmark:
        f"{CORPUS_LOGS}/shards/{{generation}}/group-{{group}}.tsv"
    conda:
        ENVIRONMENT
    threads: cores("shards_write")
    resources:
        **asks("shards_write"),
    params:
        settings=CONFIG.shards.to_json(),
        downloads=f"{CORPUS}/download",
        work=f"{CORPUS}/.work/shards",
        out=grandparent_of_output,
        version=step_version("shards.write"),
    shell:
        "python -m workflow_scripts.shards.write --plan {input.plan:q} --downloads {params.downloads:q} "
        "--group {wildcards.group} --settings {params.settings:q} --work {params.work:q} --out-dir {params.out:q} "
        "--jobs {threads} --log {log:q}"


rule shards_gather:
    input:
        plan=f"{CORPUS}/shards/{{generation}}/plan.parquet",
        manifests=expand(
            f"{CORPUS}/shards/{{{{generation}}}}/groups/group-{{group}}.manifest.parquet",
            group=SHARD_GROUPS,
        ),
        indexes=expand(
            f"{CORPUS}/shards/{{{{generation}}}}/groups/group-{{group}}.index.parquet",
            group=SHARD_GROUPS,
        ),
    output:
        train=multiext(
            f"{CORPUS}/shards/{{generation}}/train/",
            "manifest.parquet",
            "index.parquet",
        ),
        train_small=multiext(
            f"{CORPUS}/shards/{{generation}}/train_small/",
            "manifest.parquet",
            "index.parquet",
        ),
        val=multiext(f"{CORPUS}/shards/{{generation}}/val/", "manifest.parquet", "index.parquet"),
        account=f"{CORPUS}/shards/{{generation}}/account.json",
    log:
        f"{CORPUS_LOGS}/shards/{{generation}}/gather.log",
    benchmark:
        f"{CORPUS_LOGS}/shards/{{generation}}/gather.tsv"
    conda:
        ENVIRONMENT
    threads: cores("shards_gather")
    resources:
        **asks("shards_gather"),
    params:
        out=subpath(output.account, parent=True),
        version=step_version("shards.gather"),
    shell:
        "python -m workflow_scripts.shards.gather --manifests {input.manifests:q} --indexes {input.indexes:q} "
        "--plan {input.plan:q} --out-dir {params.out:q} --log {log:q}"


# No inputs: what is missing must be named, not made.
rule verify:
    log:
        f"{CORPUS_LOGS}/verify.log",
    conda:
        ENVIRONMENT
    threads: cores("verify")
    resources:
        **asks("verify"),
    params:
        shards=expand(f"{CORPUS}/shards/{{generation}}", generation=GENERATIONS),
        verdicts=expand(f"{CORPUS}/curate/{{generation}}/verdicts.parquet", generation=GENERATIONS),
        downloads=all_manifests,
        replay=REPLAY_OPTION,
        work=f"{CORPUS}/.work/download",
        ledger=LEDGER,
        others=[
            *(part for generation in GENERATIONS for part in catalog_parts(generation)),
            *expand(f"{CORPUS}/download/{{generation}}.parquet", generation=GENERATIONS),
            *expand(f"{CORPUS}/curate/{{generation}}/leakage.parquet", generation=GENERATIONS),
            f"{CORPUS}/taxonomy/labels.parquet",
        ],
    shell:
        "python -m workflow_scripts.shards.verify --shards {params.shards:q} --verdicts {params.verdicts:q} "
        "--downloads {params.downloads:q} {params.replay} --work {params.work:q} --others {params.others:q} "
        "--ledger {params.ledger:q} --jobs {threads} --log {log:q}"
