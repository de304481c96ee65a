"""Every benchmark's images and labels as one kind of table."""

BENCHMARK_TABLES = {
    name: f"{SHARED}/benchmarks/{name}-{table_identity(spec)}" for name, spec in CONFIG.benchmarks.items()
}
CSV_BENCHMARKS = [name for name, benchmark in CONFIG.benchmarks.items() if benchmark.layout == "csv"]
REPLAY_BENCHMARKS = [name for name, benchmark in CONFIG.benchmarks.items() if benchmark.layout == "replay"]
CARVED_BENCHMARKS = [name for name, benchmark in CONFIG.benchmarks.items() if benchmark.layout == "carved"]
IMAGE_SETS = {
    name: benchmark
    for name, benchmark in CONFIG.benchmarks.items()
    if name not in [*REPLAY_BENCHMARKS, *CARVED_BENCHMARKS]
}
# What anybody may download goes to a folder of the workflow's own; what a person fills is no rule's output.
FETCHED_BENCHMARKS = {
    name: f"{SHARED}/benchmarks/fetched/{name}-{benchmark.fetch_identity}/fetched.json"
    for name, benchmark in IMAGE_SETS.items()
    if benchmark.fetch
}


rule benchmark_fetch:
    output:
        f"{SHARED}/benchmarks/fetched/{{benchmark}}-{{identity}}/fetched.json",
    log:
        f"{SHARED_LOGS}/benchmarks/fetch-{{benchmark}}-{{identity}}.log",
    benchmark:
        f"{SHARED_LOGS}/benchmarks/fetch-{{benchmark}}-{{identity}}.tsv"
    wildcard_constraints:
        benchmark=one_of(FETCHED_BENCHMARKS),
        identity=r"[0-9a-f]{8}",
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: cores("benchmark_fetch")
    resources:
        **asks("benchmark_fetch", internet=True),
    params:
        settings=benchmark_settings,
        downloads=f"{SHARED}/.work/benchmarks",
        version=step_version("benchmarks.fetch"),
    shell:
        "HF_HUB_OFFLINE=0 python -m workflow_scripts.benchmarks.fetch --name {wildcards.benchmark} "
        "--settings {params.settings:q} --out {output:q} --downloads {params.downloads:q} --log {log:q}"


# Every layout has a reader of its name, which finds its files by the benchmark's settings.
rule benchmark_index:
    input:
        benchmark_inputs,
    output:
        images=f"{SHARED}/benchmarks/{{benchmark}}-{{identity}}/images.parquet",
        account=f"{SHARED}/benchmarks/{{benchmark}}-{{identity}}/account.json",
    log:
        f"{SHARED_LOGS}/benchmarks/{{benchmark}}-{{identity}}.log",
    benchmark:
        f"{SHARED_LOGS}/benchmarks/{{benchmark}}-{{identity}}.tsv"
    wildcard_constraints:
        benchmark=one_of(IMAGE_SETS),
        identity=r"[0-9a-f]{8}",
    conda:
        ENVIRONMENT
    threads: cores("benchmark_index")
    resources:
        **asks("benchmark_index"),
    params:
        reader=benchmark_reader,
        settings=benchmark_settings,
        version=benchmark_version,
    shell:
        "python -m workflow_scripts.benchmarks.{params.reader} --name {wildcards.benchmark} "
        "--settings {params.settings:q} --out {output.images:q} --account {output.account:q} --log {log:q}"


rule benchmark_replay:
    input:
        manifest=f"{CORPUS}/replay/val/manifest.parquet",
        index=f"{CORPUS}/replay/val/index.parquet",
    output:
        images=f"{SHARED}/benchmarks/{{benchmark}}-{{identity}}/images.parquet",
        account=f"{SHARED}/benchmarks/{{benchmark}}-{{identity}}/account.json",
    log:
        f"{SHARED_LOGS}/benchmarks/{{benchmark}}-{{identity}}.log",
    benchmark:
        f"{SHARED_LOGS}/benchmarks/{{benchmark}}-{{identity}}.tsv"
    wildcard_constraints:
        benchmark=one_of(REPLAY_BENCHMARKS),
        identity=r"[0-9a-f]{8}",
    conda:
        ENVIRONMENT
    threads: cores("benchmark_replay")
    resources:
        **asks("benchmark_replay"),
    params:
        shards=subpath(input.manifest, parent=True),
        version=step_version("benchmarks.index_replay"),
    shell:
        "python -m workflow_scripts.benchmarks.index_replay --name {wildcards.benchmark} --shards {params.shards:q} "
        "--out {output.images:q} --account {output.account:q} --log {log:q}"


# The first generation alone: a corpus that grows keeps its benchmark.
rule benchmark_carve:
    input:
        catalog=catalog_parts(GENERATIONS[0]),
        downloads=f"{CORPUS}/download/{GENERATIONS[0]}.parquet",
        labels=f"{CORPUS}/taxonomy/labels.parquet",
    output:
        images=f"{SHARED}/benchmarks/{{benchmark}}-{{identity}}/images.parquet",
        account=f"{SHARED}/benchmarks/{{benchmark}}-{{identity}}/account.json",
    log:
        f"{SHARED_LOGS}/benchmarks/{{benchmark}}-{{identity}}.log",
    benchmark:
        f"{SHARED_LOGS}/benchmarks/{{benchmark}}-{{identity}}.tsv"
    wildcard_constraints:
        benchmark=one_of(CARVED_BENCHMARKS),
        identity=r"[0-9a-f]{8}",
    conda:
        ENVIRONMENT
    threads: cores("benchmark_carve")
    resources:
        **asks("benchmark_carve"),
    params:
        settings=benchmark_settings,
        parts=downloads_folder,
        version=step_version("benchmarks.carve"),
    shell:
        "python -m workflow_scripts.benchmarks.carve --name {wildcards.benchmark} --settings {params.settings:q} "
        "--catalog {input.catalog:q} --downloads {input.downloads:q} --parts {params.parts:q} --labels {input.labels:q} "
        "--out {output.images:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
