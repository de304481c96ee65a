"""Features once per model and benchmark, and one scoring job a benchmark for all models."""


rule embed:
    input:
        model=model_config,
        images=benchmark_images,
    output:
        features=f"{RUN}/features/{{model}}/{{benchmark}}.safetensors",
    log:
        f"{RUN_LOGS}/evaluate/embed/{{model}}/{{benchmark}}.log",
    benchmark:
        f"{RUN_LOGS}/evaluate/embed/{{model}}/{{benchmark}}.tsv"
    conda:
        ENVIRONMENT
    threads: cores("embed")
    resources:
        **asks("embed"),
        limits=CONFIG.limits.embed.to_json(),
    params:
        model=model_source,
        projector=projector,
        code=code("evaluate.embed"),
    shell:
        "python -m workflow_scripts.evaluate.embed --model {params.model:q} --images {input.images:q} "
        "--projector {params.projector:q} --limits {resources.limits:q} --out {output.features:q} --threads {threads} "
        "--log {log:q}"


rule seen_species:
    input:
        labels=f"{CORPUS}/taxonomy/labels.parquet",
        verdicts=expand(f"{CORPUS}/curate/{{generation}}/verdicts.parquet", generation=GENERATIONS),
    output:
        species=f"{CORPUS}/curate/seen_species.parquet",
    log:
        f"{CORPUS_LOGS}/curate/seen_species.log",
    benchmark:
        f"{CORPUS_LOGS}/curate/seen_species.tsv"
    conda:
        ENVIRONMENT
    resources:
        **asks("seen_species"),
    params:
        code=code("evaluate.seen_species"),
    shell:
        "python -m workflow_scripts.evaluate.seen_species --labels {input.labels:q} --verdicts {input.verdicts:q} "
        "--memory-mb {resources.mem_mb} --out {output.species:q} --log {log:q}"


# One rule a benchmark, named without wildcards, so that `snakemake eval_rare_species` redoes one.
for benchmark, spec in CONFIG.benchmarks.items():

    rule:
        name:
            f"eval_{benchmark}"
        input:
            images=f"{BENCHMARK_TABLES[benchmark]}/images.parquet",
            features=expand(f"{RUN}/features/{{model}}/{benchmark}.safetensors", model=MODELS),
            models=expand("{folder}/open_clip_config.json", folder=MODELS.values()),
            seen=f"{CORPUS}/curate/seen_species.parquet",
        output:
            scores=expand(f"{RUN}/scores/{{model}}/{benchmark}.json", model=MODELS),
            predictions=expand(
                f"{RUN}/scores/{{model}}/{benchmark}.predictions.parquet",
                model=MODELS if needs_text(spec) else [],
            ),
        log:
            f"{RUN_LOGS}/evaluate/scores/{benchmark}.log",
        benchmark:
            f"{RUN_LOGS}/evaluate/scores/{benchmark}.tsv"
        conda:
            ENVIRONMENT
        # Its searches are many; the others are matrix products.
        threads: 16 if spec.layout == "newt" else 1
        resources:
            **asks("eval"),
        params:
            benchmark=benchmark,
            settings=spec.to_json(),
            models=pairs({name: f"local-dir:{folder}" for name, folder in MODELS.items()}),
            features=pairs({name: f"{RUN}/features/{name}/{benchmark}.safetensors" for name in MODELS}),
            out=grandparent_of_output,
            code=code("evaluate.score"),
        shell:
            "python -m workflow_scripts.evaluate.score --benchmark {params.benchmark:q} --settings {params.settings:q} "
            "--images {input.images:q} --models {params.models:q} --features {params.features:q} --out-dir {params.out:q} "
            "--seen {input.seen:q} --threads {threads} --log {log:q}"


# How much of a benchmark is in the corpus, and what that does to its scores: for those that the corpus is not clean of.
rule leakage_search:
    input:
        downloads=f"{CORPUS}/download/{{generation}}.parquet",
        images=benchmark_images,
    output:
        leakage=f"{RUN}/leakage/{{benchmark}}/{{generation}}.parquet",
        account=f"{RUN}/leakage/{{benchmark}}/{{generation}}.account.json",
    log:
        f"{RUN_LOGS}/evaluate/leakage/{{benchmark}}.{{generation}}.log",
    conda:
        ENVIRONMENT
    threads: cores("leakage_search")
    resources:
        **asks("leakage_search"),
    params:
        code=code("curate.leakage"),
    shell:
        "python -m workflow_scripts.curate.leakage --downloads {input.downloads:q} "
        "--benchmarks {wildcards.benchmark} {input.images:q} --out {output.leakage:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


rule leakage_scores:
    input:
        leakage=expand(
            f"{RUN}/leakage/{{{{benchmark}}}}/{{generation}}.parquet",
            generation=GENERATIONS,
        ),
        verdicts=expand(f"{CORPUS}/curate/{{generation}}/verdicts.parquet", generation=GENERATIONS),
        predictions=expand(
            f"{RUN}/scores/{{model}}/{{{{benchmark}}}}.predictions.parquet",
            model=MODELS,
        ),
    output:
        f"{RUN}/leakage/{{benchmark}}.json",
    log:
        f"{RUN_LOGS}/evaluate/leakage/{{benchmark}}.log",
    conda:
        ENVIRONMENT
    threads: cores("leakage_scores")
    resources:
        **asks("leakage_scores"),
    params:
        code=code("evaluate.leaked_scores"),
    shell:
        "python -m workflow_scripts.evaluate.leaked_scores --benchmark {wildcards.benchmark} "
        "--leakage {input.leakage:q} --verdicts {input.verdicts:q} --predictions {input.predictions:q} --out {output:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
