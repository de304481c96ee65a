"""Write the kept images, globally shuffled, to training shards, in a fixed number of jobs."""

SHARD_GROUPS = number_groups(CONFIG.shard_jobs)
SPLITS = ["train", "train_small", "val"]


JOB = job("shards_plan", CORPUS_LOGS, "shards/{generation}/plan")


rule shards_plan:
    input:
        verdicts=CORPUS.verdicts(),
        checked=ancient(CORPUS.verdicts_loss()),
        kept_in=lambda w: GENERATIONS.catalog(CORPUS, [w.generation] if GENERATIONS.kept_columns(w.generation) else []),
    output:
        plan=CORPUS.shards_plan(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        settings=CONFIG.shards.to_json(),
        groups=len(SHARD_GROUPS),
        keep=lambda w: GENERATIONS.kept_columns(w.generation),
        version=step_version("shards.plan"),
    message:
        "shards: plan generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.shards.plan --verdicts {input.verdicts:q} --settings {params.settings:q} "
        "--groups {params.groups} --catalog {input.kept_in:q} --keep {params.keep:q} --out {output.plan:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("shards_write", CORPUS_LOGS, "shards/{generation}/group-{group}")


rule shards_write:
    input:
        plan=CORPUS.shards_plan(),
    output:
        manifest=CORPUS.group_manifest(),
        index=CORPUS.group_index(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        settings=CONFIG.shards.to_json(),
        downloads=CORPUS.downloads(),
        work=CORPUS.shards_work(),
        out=grandparent_of_output,
        version=step_version("shards.write"),
    message:
        "shards: write group {wildcards.group} of generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.shards.write --plan {input.plan:q} --downloads {params.downloads:q} "
        "--group {wildcards.group} --settings {params.settings:q} --work {params.work:q} --out-dir {params.out:q} "
        "--jobs {threads} --log {log:q}"


JOB = job("shards_gather", CORPUS_LOGS, "shards/{generation}/gather")


rule shards_gather:
    input:
        plan=CORPUS.shards_plan(),
        manifests=lambda w: CORPUS.group_manifest.each(generation=[w.generation], group=SHARD_GROUPS),
        indexes=lambda w: CORPUS.group_index.each(generation=[w.generation], group=SHARD_GROUPS),
    output:
        account=CORPUS.shards_account(),
        manifests=CORPUS.shard_manifest.each(split=SPLITS),
        indexes=CORPUS.shard_index.each(split=SPLITS),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        # Resources, because neither changes a shard.
        downloads=lambda w: CORPUS.gathered(generation=w.generation),
        held=PAST_IMAGES,
    params:
        out=parent_of_output,
        version=step_version("shards.gather"),
    message:
        "shards: list the shards of generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.shards.gather --manifests {input.manifests:q} --indexes {input.indexes:q} "
        "--plan {input.plan:q} --out-dir {params.out:q} --downloads {resources.downloads:q} --held {resources.held:q} "
        "--log {log:q}"


JOB = job("verify", CORPUS_LOGS, "verify")


# No inputs: missing files are reported, not made.
rule verify:
    log:
        JOB.log,
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        shards=CORPUS.shards.each(generation=GENERATIONS.names),
        verdicts=CORPUS.verdicts.each(generation=GENERATIONS.names),
        downloads=[*GENERATIONS.downloads(CORPUS), *CORPUS.replay_download_part.each(part=REPLAY_PARTS)],
        replay=REPLAY_OPTION,
        work=CORPUS.download_work(),
        ledger=LEDGER,
        others=[
            *GENERATIONS.catalog(CORPUS),
            *CORPUS.gathered.each(generation=GENERATIONS.names),
            *CORPUS.leakage.each(generation=GENERATIONS.names),
            CORPUS.labels(),
        ],
    message:
        "verify: check the corpus against its manifests"
    shell:
        "python -m workflow_scripts.shards.verify --shards {params.shards:q} --verdicts {params.verdicts:q} "
        "--downloads {params.downloads:q} {params.replay} --work {params.work:q} --others {params.others:q} "
        "--ledger {params.ledger:q} --jobs {threads} --log {log:q}"
