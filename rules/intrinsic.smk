"""Analyse features without a task: t-SNE, and how distances agree with the taxonomy."""

JOB = job("tsne", RUN_LOGS, "evaluate/tsne/{model}/{benchmark}")


rule tsne:
    input:
        images=benchmark_images,
        features=RUN.features(),
    output:
        plane=RUN.tsne(),
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
        version=step_version("evaluate.tsne"),
    message:
        "evaluate: compute the t-SNE map of {wildcards.benchmark} with {wildcards.model}"
    shell:
        "python -m workflow_scripts.evaluate.tsne --images {input.images:q} --features {input.features:q} "
        "--out {output.plane:q} --log {log:q}"


# All models in one job, because they are compared on the same images and triplets.
for benchmark in CONFIG.intrinsic_benchmarks():

    JOB = job("intrinsic", RUN_LOGS, f"evaluate/intrinsic/{benchmark}")

    rule:
        name:
            f"intrinsic_{benchmark}"
        input:
            images=f"{BENCHMARK_TABLES[benchmark]}/images.parquet",
            features=RUN.features.each(benchmark=[benchmark], model=MODELS.folders),
        output:
            RUN.intrinsic.each(benchmark=[benchmark], model=MODELS.folders),
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
            benchmark=benchmark,
            features=pairs({name: RUN.features(model=name, benchmark=benchmark) for name in MODELS.folders}),
            out=grandparent_of_output,
            version=step_version("evaluate.intrinsic"),
        message:
            f"evaluate: measure how features follow the taxonomy on {benchmark}"
        shell:
            "python -m workflow_scripts.evaluate.intrinsic --benchmark {params.benchmark:q} --images {input.images:q} "
            "--features {params.features:q} --out-dir {params.out:q} --threads {threads} "
            "--log {log:q}"
