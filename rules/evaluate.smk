"""Features once per model and benchmark, and one scoring job a benchmark for all models."""

SCORED = {name: scored_models(spec) for name, spec in CONFIG.benchmarks.items()}
SCORES = [f"{RUN}/scores/{model}/{name}.json" for name, models in SCORED.items() for model in models]
# The corpus's list of species says what the run has seen where it was trained on that corpus alone, and on all of it.
TRAINED_ON_ALL = CORPORA == [OWN.to_json()] and CONFIG.train.split == "train"
SEEN = TRAINED_ON_ALL and f"{ABOUT}/curate/seen_species.parquet"
PREDICTIONS = {name: [path for model in SCORED[name] for path in predictions(model, name)] for name in SCORED}


# What is embedded once is kept for all runs, by a digest of weights, preprocessing and images.
rule embed:
    input:
        model=model_input,
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
        work=f"{SHARED}/.work/features",
        version=step_version("evaluate.embed"),
    shell:
        "python -m workflow_scripts.evaluate.embed --model {params.model:q} --images {input.images:q} "
        "--projector {params.projector:q} --limits {resources.limits:q} --work {params.work:q} "
        "--out {output.features:q} --threads {threads} --log {log:q}"


rule seen_species:
    input:
        labels=f"{CORPUS}/taxonomy/labels.parquet",
        verdicts=expand(f"{CORPUS}/curate/{{generation}}/verdicts.parquet", generation=GENERATIONS),
    output:
        species=f"{ABOUT}/curate/seen_species.parquet",
    log:
        f"{CORPUS_LOGS}/curate/seen_species.log",
    benchmark:
        f"{CORPUS_LOGS}/curate/seen_species.tsv"
    conda:
        ENVIRONMENT
    threads: cores("seen_species")
    resources:
        **asks("seen_species"),
    params:
        version=step_version("evaluate.seen_species"),
    shell:
        "python -m workflow_scripts.evaluate.seen_species --labels {input.labels:q} --verdicts {input.verdicts:q} "
        "--memory-mb {resources.mem_mb} --out {output.species:q} --log {log:q}"


# NeWT's machines are many: each job searches a share of the tasks for one model.
rule newt_search:
    input:
        images=benchmark_images,
        features=f"{RUN}/features/{{model}}/{{benchmark}}.safetensors",
    output:
        f"{RUN}/searches/{{model}}/{{benchmark}}/of-{{parts}}/part-{{part}}.parquet",
    log:
        f"{RUN_LOGS}/evaluate/searches/{{model}}/{{benchmark}}-{{part}}-of-{{parts}}.log",
    benchmark:
        f"{RUN_LOGS}/evaluate/searches/{{model}}/{{benchmark}}-{{part}}-of-{{parts}}.tsv"
    wildcard_constraints:
        parts=r"\d+",
    conda:
        ENVIRONMENT
    threads: cores("newt_search")
    resources:
        **asks("newt_search"),
    params:
        part=part_number,
        version=step_version("evaluate.search_newt"),
    shell:
        "python -m workflow_scripts.evaluate.search_newt --images {input.images:q} --features {input.features:q} "
        "--part {params.part} --parts {wildcards.parts} --out {output:q} --threads {threads} --log {log:q}"


# One rule a benchmark, named without wildcards, so that `snakemake eval_rare_species` redoes one.
for benchmark, spec in CONFIG.benchmarks.items():

    rule:
        name:
            f"eval_{benchmark}"
        input:
            images=f"{BENCHMARK_TABLES[benchmark]}/images.parquet",
            features=expand(f"{RUN}/features/{{model}}/{benchmark}.safetensors", model=SCORED[benchmark]),
            models=[file for model in SCORED[benchmark] for file in files_of_model(model)],
            seen=SEEN or [],
            searches=[path for model in SCORED[benchmark] for path in searches(model, benchmark)],
        output:
            scores=expand(f"{RUN}/scores/{{model}}/{benchmark}.json", model=SCORED[benchmark]),
            predictions=PREDICTIONS[benchmark],
        log:
            f"{RUN_LOGS}/evaluate/scores/{benchmark}.log",
        benchmark:
            f"{RUN_LOGS}/evaluate/scores/{benchmark}.tsv"
        conda:
            ENVIRONMENT
        threads: cores("eval")
        resources:
            **asks("eval"),
        params:
            benchmark=benchmark,
            settings=spec.to_json(),
            models=pairs({name: source_of_model(name) for name in SCORED[benchmark]}),
            features=pairs({name: f"{RUN}/features/{name}/{benchmark}.safetensors" for name in SCORED[benchmark]}),
            searches=searches_option(benchmark),
            seen=option("seen", SEEN),
            out=grandparent_of_output,
            version=step_version("evaluate.score"),
        shell:
            "python -m workflow_scripts.evaluate.score --benchmark {params.benchmark:q} --settings {params.settings:q} "
            "--images {input.images:q} --models {params.models:q} --features {params.features:q} --out-dir {params.out:q} "
            "{params.searches} {params.seen} --threads {threads} --log {log:q}"


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
        version=step_version("curate.leakage"),
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
        predictions=predictions_of,
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
        version=step_version("evaluate.leaked_scores"),
    shell:
        "python -m workflow_scripts.evaluate.leaked_scores --benchmark {wildcards.benchmark} "
        "--leakage {input.leakage:q} --verdicts {input.verdicts:q} --predictions {input.predictions:q} --out {output:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
