"""Prepare model and dataset for publication, with cards, licences and citations. Nothing is uploaded."""

JOB = job("publish_model", RUN_LOGS, "publish/model")


rule publish_model:
    input:
        model=RUN.model_config(),
        scores=SCORING.all_scores(),
        made=RUN.model_card(),
        species=rules.species_texts.output,
        facts=RUN.facts(),
        table=RUN.score_table(),
    output:
        card=report(RUN.published_model_card(), caption="captions/model_card.rst", category="Cards"),
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
        model=subpath(input.model, parent=True),
        settings=CONFIG.publish.to_json(),
        version=step_version("report.publish_model"),
    message:
        "publish: prepare the model and its card"
    shell:
        "python -m workflow_scripts.report.publish_model --model {params.model:q} --scores {input.scores:q} "
        "--facts {input.facts:q} --table {input.table:q} --settings {params.settings:q} --out {output.card:q} --log {log:q}"


JOB = job("publish_dataset", RUN_LOGS, "publish/dataset")


rule publish_dataset:
    input:
        catalog=GENERATIONS.catalog(CORPUS),
        attribution=ATTRIBUTIONS,
        labels=CORPUS.labels(),
        shards=CORPUS.shard_index.each(generation=GENERATIONS.names, split=["train", "val"]),
        identity=ABOUT.identity(),
    output:
        card=report(RUN.published_dataset_card(), caption="captions/dataset_card.rst", category="Cards"),
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
        shards=CORPUS.shards.each(generation=GENERATIONS.names),
        config=CONFIG.recipe(SITE),
        settings=CONFIG.publish.to_json(),
        work=RUN.publish_work(),
        out=parent_of_output,
        version=step_version("report.publish_dataset"),
    message:
        "publish: prepare the dataset and its card"
    shell:
        "python -m workflow_scripts.report.publish_dataset --catalog {input.catalog:q} "
        "--attribution {input.attribution:q} --labels {input.labels:q} --shards {params.shards:q} "
        "--identity {input.identity:q} --config {params.config:q} --settings {params.settings:q} --work {params.work:q} "
        "--out-dir {params.out:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("crate", RUN_LOGS, "publish/crate")


# Provenance of the run as a Workflow Run RO-Crate.
rule crate:
    input:
        facts=RUN.facts(),
        summary=RUN.summary(),
        page=RUN.report(),
        table=RUN.score_table(),
        model=RUN.model_config(),
        workflow=workflow.main_snakefile,
    output:
        metadata=RUN.crate(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        logs=RUN_LOGS,
    params:
        model=subpath(input.model, parent=True),
        settings=CONFIG.publish.to_json(),
        version=step_version("report.crate"),
    message:
        "crate: write the run as an RO-Crate"
    shell:
        "python -m workflow_scripts.report.crate --facts {input.facts:q} --summary {input.summary:q} "
        "--page {input.page:q} --table {input.table:q} --model {params.model:q} --workflow {input.workflow:q} "
        "--settings {params.settings:q} --logs {resources.logs:q} --out {output.metadata:q} --log {log:q}"
