"""Merge the metadata of all sources into one catalog, divided into parts to download."""

FETCHED_SOURCES = {
    file.path(str(SHARED)): file
    for sources in GENERATIONS.sources.values()
    for source in sources.values()
    for file in source.inputs.values()
    if not isinstance(file, str)
} | {file.path(str(SHARED)): file for judge in CONFIG.screen.values() for file in judge.fetched}


JOB = job("catalog_fetch", SHARED_LOGS, "sources/{identity}/{file}", internet=True)


# Needs the internet.
rule catalog_fetch:
    output:
        file=SHARED.source(),
        record=f"{SHARED.source()}.fetched.json",
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        file=one_of(Path(path).name for path in FETCHED_SOURCES),
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        gbif_api=SITE.gbif_api,
    params:
        remote=lambda w: FETCHED_SOURCES[SHARED.source(identity=w.identity, file=w.file)].to_json(),
        version=step_version("catalog.fetch"),
    message:
        "catalog: fetch {wildcards.file}"
    shell:
        "HF_HUB_OFFLINE=0 python -m workflow_scripts.catalog.fetch --remote {params.remote:q} --out {output.file:q} "
        "--record {output.record:q} --gbif-api {resources.gbif_api:q} --log {log:q}"


JOB = job("catalog_source", CORPUS_LOGS, "catalog/{generation}/{source}")


rule catalog_source:
    input:
        unpack(source_inputs),
    output:
        records=CORPUS.source(),
        account=CORPUS.source_account(),
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
        reader=lambda w: GENERATIONS.source(w).reader,
        options=lambda w: " ".join(
            option(name, path) for name, path in GENERATIONS.source(w).paths(str(SHARED)).items()
        ),
        settings=lambda w: GENERATIONS.source(w).to_json(),
        version=lambda w: step_version(f"catalog.{GENERATIONS.source(w).reader}"),
    message:
        "catalog: read source {wildcards.source} of generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.catalog.{params.reader} {params.options} --settings {params.settings:q} "
        "--out {output.records:q} --account {output.account:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


# One rule per generation: its outputs are the generation's parts, whose number is in the config.
for generation in GENERATIONS.names:
    JOB = job("catalog_merge", CORPUS_LOGS, f"catalog/{generation}/merge")

    rule:
        name:
            f"catalog_merge_{generation}"
        input:
            sources=CORPUS.source.each(generation=[generation], source=GENERATIONS.sources[generation]),
            older=GENERATIONS.catalog(CORPUS, GENERATIONS.older(generation)),
        output:
            parts=GENERATIONS.catalog(CORPUS, [generation]),
            labels=CORPUS.catalog_labels(generation=generation),
            hosts=CORPUS.catalog_hosts(generation=generation),
            account=CORPUS.catalog_account(generation=generation),
        log:
            JOB.log,
        benchmark:
            JOB.benchmark
        conda:
            ENVIRONMENT
        threads: JOB.cores
        resources:
            **JOB.resources,
            limits=CONFIG.limits.download.to_json(),
            dealt=CORPUS.catalog_dealt(generation=generation),
        params:
            number=int(generation[1:]),
            parts=len(GENERATIONS.parts[generation]),
            first=int(GENERATIONS.parts[generation][0]),
            out=parent_of_output,
            version=step_version("catalog.merge"),
        message:
            f"catalog: merge the sources of generation {generation} and assign parts"
        shell:
            "python -m workflow_scripts.catalog.merge --sources {input.sources:q} --older {input.older:q} "
            "--generation {params.number} --parts {params.parts} --first-part {params.first} --out-dir {params.out:q} "
            "--limits {resources.limits:q} --dealt {resources.dealt:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("catalog_loss", CORPUS_LOGS, "catalog/{generation}.loss")


# Stops before the download if a source lost too many rows.
rule catalog_loss:
    input:
        accounts=lambda w: CORPUS.source_account.each(
            generation=[w.generation], source=GENERATIONS.sources[w.generation]
        ),
        records=lambda w: CORPUS.source.each(generation=[w.generation], source=GENERATIONS.sources[w.generation]),
        account=CORPUS.catalog_account(),
        older=lambda w: CORPUS.catalog_account.each(generation=GENERATIONS.older(w.generation)),
    output:
        loss=CORPUS.catalog_loss(),
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
        "catalog: check the losses of generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.catalog.loss --accounts {input.accounts:q} --records {input.records:q} "
        "--account {input.account:q} --older {input.older:q} --max-loss {resources.max_loss:q} --out {output.loss:q} --log {log:q}"
