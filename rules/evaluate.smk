"""Embed each benchmark's images once per model, and score all models of a benchmark in one job."""

# Species seen in training, if the run trained on this corpus only. The list is in the corpus, or in the run if its
# training lacks newer generations.
SEEN_IN = ABOUT if MIXTURE.generations in ([], GENERATIONS.names) else Corpus(RUN.about_corpus())
SEEN = MIXTURE.generations and SEEN_IN.seen_species()

JOB = job("embed", RUN_LOGS, "evaluate/embed/{model}/{benchmark}")


# Features are kept for all runs, by a digest of weights, preprocessing and images.
rule embed:
    input:
        model=lambda w: MODELS.files(w.model),
        images=benchmark_images,
    output:
        features=RUN.features(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        limits=CONFIG.limits.embed.to_json(),
    params:
        model=lambda w: MODELS.source(w.model),
        projector=projector,
        precise=lambda w: "--precise" if CONFIG.benchmarks[w.benchmark].layout in IN_FULL_PRECISION else "",
        work=SHARED.work(step="features"),
        version=step_version("evaluate.embed"),
    message:
        "evaluate: embed the images of {wildcards.benchmark} with {wildcards.model}"
    shell:
        "python -m workflow_scripts.evaluate.embed --model {params.model:q} --images {input.images:q} "
        "--projector {params.projector:q} {params.precise} --limits {resources.limits:q} --work {params.work:q} "
        "--out {output.features:q} --threads {threads} --log {log:q}"


JOB = job("seen_species", CORPUS_LOGS, "curate/seen_species")


rule seen_species:
    input:
        labels=CORPUS.labels(),
        verdicts=CORPUS.verdicts.each(generation=MIXTURE.generations),
    output:
        species=SEEN_IN.seen_species(),
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
        version=step_version("evaluate.seen_species"),
    message:
        "evaluate: list the species seen in training"
    shell:
        "python -m workflow_scripts.evaluate.seen_species --labels {input.labels:q} --verdicts {input.verdicts:q} "
        "--memory-mb {resources.mem_mb} --out {output.species:q} --log {log:q}"


JOB = job("newt_search", RUN_LOGS, "evaluate/searches/{model}/{benchmark}-{part}-of-{parts}")


# NeWT fits many support vector machines: each job searches a share of the tasks for one model.
rule newt_search:
    input:
        images=benchmark_images,
        features=RUN.features(),
    output:
        RUN.searched_part(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        parts=r"\d+",
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        part=lambda w: int(w.part),
        version=step_version("evaluate.newt.search"),
    message:
        "evaluate: search classifiers for {wildcards.benchmark} with {wildcards.model}, job {wildcards.part} of {wildcards.parts}"
    shell:
        "python -m workflow_scripts.evaluate.newt.search --images {input.images:q} --features {input.features:q} "
        "--part {params.part} --parts {wildcards.parts} --out {output:q} --threads {threads} --log {log:q}"


# One rule per benchmark, without wildcards, so that `snakemake eval_rare_species` runs one.
for benchmark, spec in CONFIG.benchmarks.items():

    JOB = job("eval", RUN_LOGS, f"evaluate/scores/{benchmark}")

    rule:
        name:
            f"eval_{benchmark}"
        input:
            images=f"{BENCHMARK_TABLES[benchmark]}/images.parquet",
            features=SCORING.features(benchmark).values(),
            models=[file for model in SCORING.models[benchmark] for file in MODELS.files(model)],
            seen=SEEN or [],
            searches=SCORING.searches(benchmark),
        output:
            scores=SCORING.scores(benchmark),
            predictions=SCORING.predictions(benchmark),
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
            layout=spec.layout,
            benchmark=benchmark,
            settings=spec.to_json(),
            models=pairs({name: MODELS.source(name) for name in SCORING.models[benchmark]}),
            features=pairs(SCORING.features(benchmark)),
            searches=option("searches", *pairs(SCORING.search_folders(benchmark))),
            seen=option("seen", SEEN),
            out=grandparent_of_output,
            version=step_version(f"evaluate.{spec.layout}.score"),
        message:
            f"evaluate: score all models on {benchmark}"
        shell:
            "python -m workflow_scripts.evaluate.{params.layout}.score --benchmark {params.benchmark:q} "
            "--settings {params.settings:q} --images {input.images:q} --models {params.models:q} "
            "--features {params.features:q} --out-dir {params.out:q} "
            "{params.searches} {params.seen} --threads {threads} --log {log:q}"


JOB = job("leakage_search", RUN_LOGS, "evaluate/leakage/{benchmark}.{generation}")


# How many images of a benchmark are in the corpus, for benchmarks that `curate.clean_of` does not list.
rule leakage_search:
    input:
        downloads=CORPUS.gathered(),
        images=benchmark_images,
    output:
        leakage=RUN.leakage_part(),
        account=RUN.leakage_part_account(),
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
        version=step_version("curate.leakage"),
    message:
        "leakage: search generation {wildcards.generation} for images of {wildcards.benchmark}"
    shell:
        "python -m workflow_scripts.curate.leakage --downloads {input.downloads:q} "
        "--benchmarks {wildcards.benchmark} {input.images:q} --out {output.leakage:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("leakage_scores", RUN_LOGS, "evaluate/leakage/{benchmark}")


rule leakage_scores:
    input:
        leakage=lambda w: RUN.leakage_part.each(benchmark=[w.benchmark], generation=GENERATIONS.names),
        verdicts=CORPUS.verdicts.each(generation=GENERATIONS.names),
        predictions=lambda w: SCORING.predictions(w.benchmark),
    output:
        RUN.leakage(),
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
        version=step_version("evaluate.leaked_scores"),
    message:
        "leakage: score {wildcards.benchmark} with and without leaked images"
    shell:
        "python -m workflow_scripts.evaluate.leaked_scores --benchmark {wildcards.benchmark} "
        "--leakage {input.leakage:q} --verdicts {input.verdicts:q} --predictions {input.predictions:q} --out {output:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
