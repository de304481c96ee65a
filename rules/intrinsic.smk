"""Features looked at without a task: t-SNE, and how their distances follow the taxonomy."""

INTRINSIC = CONFIG.intrinsic_benchmarks()


rule tsne:
    input:
        images=benchmark_images,
        features=f"{RUN}/features/{{model}}/{{benchmark}}.safetensors",
    output:
        plane=f"{RUN}/intrinsic/{{model}}/{{benchmark}}.tsne.parquet",
    log:
        f"{RUN_LOGS}/evaluate/tsne/{{model}}/{{benchmark}}.log",
    benchmark:
        f"{RUN_LOGS}/evaluate/tsne/{{model}}/{{benchmark}}.tsv"
    conda:
        ENVIRONMENT
    threads: cores("tsne")
    resources:
        **asks("tsne"),
    params:
        version=step_version("evaluate.tsne"),
    shell:
        "python -m workflow_scripts.evaluate.tsne --images {input.images:q} --features {input.features:q} "
        "--out {output.plane:q} --log {log:q}"


# All models at once: they are held against each other over the same images and triplets.
for benchmark in INTRINSIC:

    rule:
        name:
            f"intrinsic_{benchmark}"
        input:
            images=f"{BENCHMARK_TABLES[benchmark]}/images.parquet",
            features=expand(f"{RUN}/features/{{model}}/{benchmark}.safetensors", model=MODELS),
        output:
            expand(f"{RUN}/intrinsic/{{model}}/{benchmark}.json", model=MODELS),
        log:
            f"{RUN_LOGS}/evaluate/intrinsic/{benchmark}.log",
        benchmark:
            f"{RUN_LOGS}/evaluate/intrinsic/{benchmark}.tsv"
        conda:
            ENVIRONMENT
        threads: cores("intrinsic")
        resources:
            **asks("intrinsic"),
        params:
            benchmark=benchmark,
            features=pairs({name: f"{RUN}/features/{name}/{benchmark}.safetensors" for name in MODELS}),
            out=grandparent_of_output,
            version=step_version("evaluate.intrinsic"),
        shell:
            "python -m workflow_scripts.evaluate.intrinsic --benchmark {params.benchmark:q} --images {input.images:q} "
            "--features {params.features:q} --out-dir {params.out:q} --threads {threads} "
            "--log {log:q}"
