"""Every benchmark's images and labels as one kind of table."""

BENCHMARK_TABLES = {
    name: f"{SHARED}/benchmarks/{name}-{identity(benchmark, CONFIG.corpus if benchmark.layout == 'replay' else '')}"
    for name, benchmark in CONFIG.benchmarks.items()
}
CSV_BENCHMARKS = {name: benchmark for name, benchmark in CONFIG.benchmarks.items() if benchmark.layout == "csv"}
REPLAY_BENCHMARKS = {name: benchmark for name, benchmark in CONFIG.benchmarks.items() if benchmark.layout == "replay"}
OTHER_BENCHMARKS = {
    name: benchmark
    for name, benchmark in CONFIG.benchmarks.items()
    if name not in CSV_BENCHMARKS and name not in REPLAY_BENCHMARKS
}


rule benchmark_csv:
    input:
        labels=benchmark_labels,
    output:
        images=f"{SHARED}/benchmarks/{{benchmark}}-{{identity}}/images.parquet",
        account=f"{SHARED}/benchmarks/{{benchmark}}-{{identity}}/account.json",
    log:
        f"{SHARED_LOGS}/benchmarks/{{benchmark}}-{{identity}}.log",
    benchmark:
        f"{SHARED_LOGS}/benchmarks/{{benchmark}}-{{identity}}.tsv"
    wildcard_constraints:
        benchmark=one_of(CSV_BENCHMARKS),
        identity=r"[0-9a-f]{8}",
    conda:
        ENVIRONMENT
    resources:
        **asks("benchmark_csv"),
    params:
        settings=benchmark_settings,
        code=code("benchmarks.index_csv"),
    shell:
        "python -m workflow_scripts.benchmarks.index_csv --name {wildcards.benchmark} --labels {input.labels:q} "
        "--settings {params.settings:q} --out {output.images:q} --account {output.account:q} --log {log:q}"


# Every other layout has a reader of its name, which finds its files by the benchmark's settings.
rule benchmark_layout:
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
        benchmark=one_of(OTHER_BENCHMARKS),
        identity=r"[0-9a-f]{8}",
    conda:
        ENVIRONMENT
    resources:
        **asks("benchmark_layout"),
    params:
        reader=benchmark_reader,
        settings=benchmark_settings,
        code=benchmark_code,
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
    resources:
        **asks("benchmark_replay"),
    params:
        shards=subpath(input.manifest, parent=True),
        code=code("benchmarks.index_replay"),
    shell:
        "python -m workflow_scripts.benchmarks.index_replay --name {wildcards.benchmark} --shards {params.shards:q} "
        "--out {output.images:q} --account {output.account:q} --log {log:q}"
