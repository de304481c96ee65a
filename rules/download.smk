"""Download images over HTTP, part by part: replay first, then one generation after the other. Needs the internet."""

REPLAY_SELECTION = CORPUS.replay_part.each(part=REPLAY_PARTS)
REPLAY_MANIFESTS = CORPUS.replay_download_part.each(part=REPLAY_PARTS)
# What is downloaded before each generation, because jobs that run at the same time share a host's limits. One gathered
# file represents all earlier parts: 2,000 parts after 200 would be 400,000 inputs to plan.
EARLIER = dict(
    zip(
        GENERATIONS.names,
        [[CORPUS.replay_loss()] if REPLAY_PARTS else [], *CORPUS.gathered.each(generation=GENERATIONS.names)],
    )
)


JOB = job("download", CORPUS_LOGS, "download/part-{part}", internet=True)


rule download:
    input:
        part=lambda w: CORPUS.catalog_part(generation=GENERATIONS.of_part(w.part), part=w.part),
        served=SERVED_FROM,
        others=ancient(lambda w: CORPUS.catalog_hosts(generation=GENERATIONS.of_part(w.part))),
        earlier=ancient(lambda w: EARLIER[GENERATIONS.of_part(w.part)]),
        checked=ancient(lambda w: CORPUS.catalog_loss(generation=GENERATIONS.of_part(w.part))),
    output:
        manifest=CORPUS.download_part(),
        account=CORPUS.download_part_account(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        limits=CONFIG.limits.download.to_json(),
        served=SERVED,
        contact=CONTACT,
        ledger=LEDGER,
        share=lambda w: GENERATIONS.share(w.part),
    params:
        settings=CONFIG.download.to_json(),
        work=CORPUS.download_work(),
        out=parent_of_output,
        version=step_version("download.fetch"),
    message:
        "download: fetch the images of part {wildcards.part}"
    shell:
        "HF_HUB_OFFLINE=0 {resources.served}python -m workflow_scripts.download.fetch --part {input.part:q} "
        "--settings {params.settings:q} --limits {resources.limits:q} {resources.contact} "
        "--ledger {resources.ledger:q} --others {input.others:q} {resources.share} --wait --work {params.work:q} --out-dir {params.out:q} --log {log:q}"


JOB = job("retry_failed", CORPUS_LOGS, "download/retry", internet=True)


# Retries transient failures of finished parts in one job, which may use each host's full limits. Later steps rerun only
# if images arrived. Parts that are not downloaded yet are left to `download`.
DONE_PARTS, DONE_REPLAY_PARTS = (
    {part: manifest for part, manifest in zip(parts, manifests, strict=True) if Path(manifest).exists()}
    for parts, manifests in (
        (GENERATIONS.catalog(CORPUS), GENERATIONS.downloads(CORPUS)),
        (REPLAY_SELECTION, REPLAY_MANIFESTS),
    )
)


rule retry_failed:
    input:
        parts=DONE_PARTS.keys(),
        manifests=DONE_PARTS.values(),
        replay_parts=DONE_REPLAY_PARTS.keys(),
        replay_manifests=DONE_REPLAY_PARTS.values(),
        served=SERVED_FROM,
    log:
        JOB.log,
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        limits=CONFIG.limits.download.to_json(),
        served=SERVED,
        contact=CONTACT,
        ledger=LEDGER,
    params:
        settings=CONFIG.download.to_json(),
        replay=(option("replay-settings", CONFIG.replay.download.to_json()) if CONFIG.replay else ""),
        work=CORPUS.download_work(),
    message:
        "download: retry failed images"
    shell:
        "HF_HUB_OFFLINE=0 {resources.served}python -m workflow_scripts.download.retry --parts {input.parts:q} "
        "--manifests {input.manifests:q} --settings {params.settings:q} --replay-parts {input.replay_parts:q} "
        "--replay-manifests {input.replay_manifests:q} {params.replay} --limits {resources.limits:q} "
        "{resources.contact} --ledger {resources.ledger:q} --work {params.work:q} --log {log:q}"


JOB = job("estimate", CORPUS_LOGS, "download/estimate")


rule estimate:
    input:
        parts=GENERATIONS.catalog(CORPUS),
        replay=REPLAY_SELECTION,
        labels=CORPUS.catalog_labels.each(generation=GENERATIONS.names),
    log:
        JOB.log,
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        limits=CONFIG.limits.download.to_json(),
    params:
        settings=CONFIG.download.to_json(),
        epochs=CONFIG.train.epochs,
        model=CONFIG.model.architecture if isinstance(CONFIG.model.architecture, str) else "this model",
        groups=CONFIG.shard_jobs,
        screening=option("screening", CONFIG.screen and CONFIG.screening.to_json()),
        names="" if CONFIG.taxonomy.backbones else "--names 0",
    message:
        "estimate: compute the size and cost of the downloads"
    shell:
        "python -m workflow_scripts.download.estimate --parts {input.parts:q} {input.replay:q} "
        "--settings {params.settings:q} --limits {resources.limits:q} --memory-mb {resources.mem_mb} --log {log:q} && "
        "python -m workflow_scripts.report.scale --catalog {input.parts:q} --catalog-labels {input.labels:q} "
        "--epochs {params.epochs} --model {params.model:q} --groups {params.groups} {params.screening} {params.names}"


JOB = job("download_gather", CORPUS_LOGS, "download/{generation}")


rule download_gather:
    input:
        catalog=lambda w: GENERATIONS.catalog(CORPUS, [w.generation]),
        manifests=lambda w: GENERATIONS.downloads(CORPUS, [w.generation]),
    output:
        downloads=CORPUS.gathered(),
        account=CORPUS.gathered_account(),
        hosts=CORPUS.gathered_hosts(),
        lost=CORPUS.gathered_lost(),
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
        parts=lambda w: GENERATIONS.parts[w.generation],
        version=step_version("download.gather"),
    message:
        "download: gather the parts of generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.download.gather --catalog {input.catalog:q} --manifests {input.manifests:q} "
        "--parts {params.parts} --out {output.downloads:q} --account {output.account:q} --hosts {output.hosts:q} "
        "--lost {output.lost:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("download_loss", CORPUS_LOGS, "download/{generation}.loss")


# Stops before curation if too many images of a source failed.
rule download_loss:
    input:
        account=CORPUS.gathered_account(),
        hosts=CORPUS.gathered_hosts(),
        lost=CORPUS.gathered_lost(),
        older=lambda w: CORPUS.gathered_account.each(generation=GENERATIONS.older(w.generation)),
    output:
        loss=CORPUS.gathered_loss(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    localrule: True
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        max_loss=CONFIG.max_loss.to_json(),
    message:
        "download: check the losses of generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.download.loss --account {input.account:q} --hosts {input.hosts:q} --lost {input.lost:q} --older {input.older:q} "
        "--max-loss {resources.max_loss:q} --out {output.loss:q} --log {log:q}"
