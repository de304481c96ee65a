"""What others can use: model and dataset with their cards, licences and citations. Nothing is uploaded."""


rule publish_model:
    input:
        model=f"{RUN}/model/open_clip_config.json",
        scores=SCORES,
        made=f"{RUN}/model/README.md",
        species=rules.species_texts.output,
        facts=f"{RUN}/report/run.json",
        table=f"{RUN}/report/scores.csv",
    output:
        card=report(f"{RUN}/publish/model/README.md", caption="captions/model_card.rst", category="Cards"),
    log:
        f"{RUN_LOGS}/publish/model.log",
    benchmark:
        f"{RUN_LOGS}/publish/model.tsv"
    conda:
        ENVIRONMENT
    threads: cores("publish_model")
    resources:
        **asks("publish_model"),
    params:
        model=subpath(input.model, parent=True),
        settings=CONFIG.publish.to_json(),
        version=step_version("report.publish_model"),
    shell:
        "python -m workflow_scripts.report.publish_model --model {params.model:q} --scores {input.scores:q} "
        "--facts {input.facts:q} --table {input.table:q} --settings {params.settings:q} --out {output.card:q} --log {log:q}"


rule publish_dataset:
    input:
        catalog=[path for generation in GENERATIONS for path in catalog_parts(generation)],
        attribution=ATTRIBUTIONS,
        labels=f"{CORPUS}/taxonomy/labels.parquet",
        shards=expand(
            f"{CORPUS}/shards/{{generation}}/{{split}}/index.parquet",
            generation=GENERATIONS,
            split=["train", "val"],
        ),
        identity=f"{ABOUT}/corpus.json",
    output:
        card=report(f"{RUN}/publish/dataset/README.md", caption="captions/dataset_card.rst", category="Cards"),
    log:
        f"{RUN_LOGS}/publish/dataset.log",
    benchmark:
        f"{RUN_LOGS}/publish/dataset.tsv"
    conda:
        ENVIRONMENT
    threads: cores("publish_dataset")
    resources:
        **asks("publish_dataset"),
    params:
        shards=expand(f"{CORPUS}/shards/{{generation}}", generation=GENERATIONS),
        config=CONFIG.recipe(SITE),
        settings=CONFIG.publish.to_json(),
        work=f"{RUN}/.work/publish",
        out=parent_of_output,
        version=step_version("report.publish_dataset"),
    shell:
        "python -m workflow_scripts.report.publish_dataset --catalog {input.catalog:q} "
        "--attribution {input.attribution:q} --labels {input.labels:q} --shards {params.shards:q} "
        "--identity {input.identity:q} --config {params.config:q} --settings {params.settings:q} --work {params.work:q} "
        "--out-dir {params.out:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


# What ran, on what, and what came out, for tools that read Workflow Run RO-Crates.
rule crate:
    input:
        facts=f"{RUN}/report/run.json",
        summary=f"{RUN}/train/summary.json",
        page=f"{RUN}/report/index.html",
        table=f"{RUN}/report/scores.csv",
        model=f"{RUN}/model/open_clip_config.json",
        workflow=workflow.main_snakefile,
    output:
        metadata=f"{RUN}/crate/ro-crate-metadata.json",
    log:
        f"{RUN_LOGS}/publish/crate.log",
    benchmark:
        f"{RUN_LOGS}/publish/crate.tsv"
    conda:
        ENVIRONMENT
    threads: cores("crate")
    resources:
        **asks("crate"),
    params:
        model=subpath(input.model, parent=True),
        version=step_version("report.crate"),
    shell:
        "python -m workflow_scripts.report.crate --facts {input.facts:q} --summary {input.summary:q} "
        "--page {input.page:q} --table {input.table:q} --model {params.model:q} --workflow {input.workflow:q} "
        "--out {output.metadata:q} --log {log:q}"
