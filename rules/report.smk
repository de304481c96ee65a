"""One page with everything in it."""

ACCOUNTS = [
    *(
        f"{CORPUS}/catalog/{generation}/sources/{source}.account.json"
        for generation in GENERATIONS
        for source in sources_of(generation)
    ),
    *expand(f"{CORPUS}/catalog/{{generation}}/account.json", generation=GENERATIONS),
    *expand(f"{CORPUS}/download/{{generation}}.account.json", generation=GENERATIONS),
    f"{CORPUS}/taxonomy/account.json",
    *expand(f"{CORPUS}/curate/{{generation}}/account.json", generation=GENERATIONS),
    *expand(f"{CORPUS}/curate/{{generation}}/leakage.account.json", generation=GENERATIONS),
    *expand(f"{CORPUS}/shards/{{generation}}/account.json", generation=GENERATIONS),
    *REPLAY_ACCOUNTS,
    *(f"{folder}/account.json" for folder in BENCHMARK_TABLES.values()),
]
METRICS = {"train": f"{RUN}/train/metrics.jsonl"}
if CONFIG.model.start == "pretrain":
    METRICS = {"pretrain": f"{START}/train/metrics.jsonl"} | METRICS


rule report_build:
    input:
        scores=SCORES,
        predictions=[path for paths in PREDICTIONS.values() for path in paths],
        benchmarks=[f"{folder}/images.parquet" for folder in BENCHMARK_TABLES.values()],
        metrics=list(METRICS.values()),
        accounts=ACCOUNTS,
        hosts=expand(f"{CORPUS}/download/{{generation}}.hosts.parquet", generation=GENERATIONS),
        labels=f"{CORPUS}/taxonomy/labels.parquet",
        taxonomy=f"{CORPUS}/taxonomy/stats.json",
        summary=f"{RUN}/train/summary.json",
        leakage=expand(f"{CORPUS}/curate/{{generation}}/leakage.parquet", generation=GENERATIONS),
    output:
        page=f"{RUN}/report/index.html",
        scores=multiext(f"{RUN}/report/scores", ".csv", ".parquet"),
    log:
        f"{RUN_LOGS}/report/build.log",
    benchmark:
        f"{RUN_LOGS}/report/build.tsv"
    conda:
        ENVIRONMENT
    params:
        run=CONFIG.run,
        corpus=CONFIG.corpus,
        config=CONFIG.recipe().to_json(),
        downloads=downloads_folder,
        benchmarks=pairs({name: f"{folder}/images.parquet" for name, folder in BENCHMARK_TABLES.items()}),
        metrics=pairs(METRICS),
        code=code("report.build"),
    shell:
        "python -m workflow_scripts.report.build --run {params.run:q} --corpus {params.corpus:q} --config {params.config:q} "
        "--scores {input.scores:q} --predictions {input.predictions:q} --benchmarks {params.benchmarks:q} "
        "--metrics {params.metrics:q} --accounts {input.accounts:q} --hosts {input.hosts:q} --labels {input.labels:q} "
        "--taxonomy {input.taxonomy:q} --summary {input.summary:q} "
        "--leakage {input.leakage:q} --downloads {params.downloads:q} "
        "--out {output.page:q} --log {log:q}"
