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
if PRETRAIN_START:
    METRICS = {"pretrain": f"{START}/train/metrics.jsonl"} | METRICS
# What a run has made in shared folders, for the cost of its jobs there.
SHARED_FOLDERS = [
    *BENCHMARK_TABLES.values(),
    *map(os.path.dirname, [*FETCHED_BENCHMARKS.values(), *BACKBONE_FILES.values()]),
    *(START, *FETCHED_MODELS),
]


rule report_corpus:
    input:
        shards=expand(
            f"{CORPUS}/shards/{{generation}}/{{table}}.parquet",
            generation=GENERATIONS,
            table=["train/manifest", "train/index", "val/manifest"],
        ),
        labels=f"{CORPUS}/taxonomy/labels.parquet",
        replay=expand(f"{CORPUS}/replay/{{split}}/manifest.parquet", split=["train", "val"] if HAS_REPLAY else []),
    output:
        identity=f"{ABOUT}/corpus.json",
        composition=f"{ABOUT}/composition.parquet",
    log:
        f"{CORPUS_LOGS}/report/corpus.log",
    benchmark:
        f"{CORPUS_LOGS}/report/corpus.tsv"
    conda:
        ENVIRONMENT
    threads: cores("report_corpus")
    resources:
        **asks("report_corpus"),
    params:
        corpus=CONFIG.corpus_name,
        shards=expand(f"{CORPUS}/shards/{{generation}}", generation=GENERATIONS),
        replay=REPLAY_OPTION,
        version=step_version("report.corpus"),
    shell:
        "python -m workflow_scripts.report.corpus --name {params.corpus:q} --shards {params.shards:q} "
        "--labels {input.labels:q} {params.replay} --out {output.identity:q} --composition {output.composition:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


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
        identity=f"{ABOUT}/corpus.json",
        composition=f"{ABOUT}/composition.parquet",
        intrinsic=expand(f"{RUN}/intrinsic/{{model}}/{{benchmark}}.json", model=MODELS, benchmark=INTRINSIC),
        planes=expand(
            f"{RUN}/intrinsic/{{model}}/{{benchmark}}.tsne.parquet",
            model=MODELS,
            benchmark=INTRINSIC,
        ),
        leakage=expand(f"{CORPUS}/curate/{{generation}}/leakage.parquet", generation=GENERATIONS),
    output:
        page=report(f"{RUN}/report/index.html", caption="captions/page.rst", category="Run"),
        facts=f"{RUN}/report/run.json",
        table=report(f"{RUN}/report/scores.csv", caption="captions/scores.rst", category="Run"),
        scores=f"{RUN}/report/scores.parquet",
    log:
        f"{RUN_LOGS}/report/build.log",
    benchmark:
        f"{RUN_LOGS}/report/build.tsv"
    conda:
        ENVIRONMENT
    threads: cores("report_build")
    resources:
        **asks("report_build"),
    params:
        run=CONFIG.run,
        corpus=CONFIG.corpus_name,
        config=CONFIG.recipe(SITE),
        downloads=downloads_folder,
        # What jobs cost is read when the page is made, and makes none.
        logs=[CORPUS_LOGS, RUN_LOGS],
        shared_logs=SHARED_LOGS,
        shared=sorted({os.path.basename(folder) for folder in SHARED_FOLDERS}),
        benchmarks=pairs({name: f"{folder}/images.parquet" for name, folder in BENCHMARK_TABLES.items()}),
        metrics=pairs(METRICS),
        version=step_version("report.build"),
    shell:
        "python -m workflow_scripts.report.build --run {params.run:q} --corpus {params.corpus:q} --config {params.config:q} "
        "--scores {input.scores:q} --predictions {input.predictions:q} --benchmarks {params.benchmarks:q} "
        "--metrics {params.metrics:q} --accounts {input.accounts:q} --hosts {input.hosts:q} --labels {input.labels:q} "
        "--taxonomy {input.taxonomy:q} --summary {input.summary:q} "
        "--corpus-identity {input.identity:q} --composition {input.composition:q} --intrinsic {input.intrinsic:q} "
        "--planes {input.planes:q} --leakage {input.leakage:q} --downloads {params.downloads:q} "
        "--logs {params.logs:q} --shared-logs {params.shared_logs:q} --shared {params.shared:q} "
        "--out {output.page:q} --log {log:q}"
