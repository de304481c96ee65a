"""Fetch benchmarks, and list the images and labels of each in a table of one format."""

LAYOUTS = {name: spec.layout for name, spec in CONFIG.benchmarks.items()}
IMAGE_SETS = {name: spec for name, spec in CONFIG.benchmarks.items() if LAYOUTS[name] not in ("replay", "carved")}

JOB = job("benchmark_fetch", SHARED_LOGS, "benchmarks/fetch-{benchmark}-{identity}", internet=True)


rule benchmark_fetch:
    output:
        SHARED.benchmark_fetched(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        benchmark=one_of(FETCHED_BENCHMARKS),
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        settings=lambda w: json.dumps(as_read(CONFIG.benchmarks[w.benchmark])),
        downloads=SHARED.work(step="benchmarks"),
        version=step_version("evaluate.fetch"),
    message:
        "benchmarks: fetch the files of {wildcards.benchmark}"
    shell:
        "HF_HUB_OFFLINE=0 python -m workflow_scripts.evaluate.fetch --name {wildcards.benchmark} "
        "--settings {params.settings:q} --out {output:q} --downloads {params.downloads:q} --log {log:q}"


JOB = job("benchmark_index", SHARED_LOGS, "benchmarks/{benchmark}-{identity}")


# The layout's own step finds the files by the benchmark's settings.
rule benchmark_index:
    input:
        labels=lambda w: watched_files(IMAGE_SETS[w.benchmark], WORLD.benchmarks(), WORLD.served()),
        fetched=lambda w: FETCHED_BENCHMARKS.get(w.benchmark, []),
    output:
        images=SHARED.benchmark_images(),
        account=SHARED.benchmark_account(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        benchmark=one_of(IMAGE_SETS),
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        layout=lambda w: LAYOUTS[w.benchmark],
        settings=lambda w: json.dumps(as_read(CONFIG.benchmarks[w.benchmark])),
        version=lambda w: step_version(f"evaluate.{LAYOUTS[w.benchmark]}.index"),
    message:
        "benchmarks: check and list the images of {wildcards.benchmark}"
    shell:
        "python -m workflow_scripts.evaluate.{params.layout}.index --name {wildcards.benchmark} "
        "--settings {params.settings:q} --out {output.images:q} --account {output.account:q} --log {log:q}"


JOB = job("benchmark_replay", SHARED_LOGS, "benchmarks/{benchmark}-{identity}")


rule benchmark_replay:
    input:
        manifest=CORPUS.replay_manifest(split="val"),
        index=CORPUS.replay_index(split="val"),
    output:
        images=SHARED.benchmark_images(),
        account=SHARED.benchmark_account(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        benchmark=one_of(name for name, layout in LAYOUTS.items() if layout == "replay"),
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        shards=subpath(input.manifest, parent=True),
        version=step_version("evaluate.replay.index"),
    message:
        "benchmarks: list the held-out replay images ({wildcards.benchmark})"
    shell:
        "python -m workflow_scripts.evaluate.replay.index --name {wildcards.benchmark} --shards {params.shards:q} "
        "--out {output.images:q} --account {output.account:q} --log {log:q}"


JOB = job("benchmark_carve", SHARED_LOGS, "benchmarks/{benchmark}-{identity}")


# From the first generation only, so that the benchmark stays the same when the corpus grows.
rule benchmark_carve:
    input:
        catalog=GENERATIONS.catalog(CORPUS, GENERATIONS.names[:1]),
        downloads=CORPUS.gathered(generation=GENERATIONS.names[0]),
        labels=CORPUS.labels(),
    output:
        images=SHARED.benchmark_images(),
        account=SHARED.benchmark_account(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        benchmark=one_of(name for name, layout in LAYOUTS.items() if layout == "carved"),
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        settings=lambda w: json.dumps(as_read(CONFIG.benchmarks[w.benchmark])),
        parts=CORPUS.downloads(),
        version=step_version("evaluate.carved.index"),
    message:
        "benchmarks: carve {wildcards.benchmark} out of the corpus"
    shell:
        "python -m workflow_scripts.evaluate.carved.index --name {wildcards.benchmark} --settings {params.settings:q} "
        "--catalog {input.catalog:q} --downloads {input.downloads:q} --parts {params.parts:q} --labels {input.labels:q} "
        "--out {output.images:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
