"""Build the report of the run: one self-contained page."""

ACCOUNTS = [
    *(
        CORPUS.source_account(generation=generation, source=source)
        for generation in GENERATIONS.names
        for source in GENERATIONS.sources[generation]
    ),
    *CORPUS.catalog_account.each(generation=GENERATIONS.names),
    *CORPUS.gathered_account.each(generation=GENERATIONS.names),
    CORPUS.labels_account(),
    *CORPUS.verdicts_account.each(generation=GENERATIONS.names),
    *CORPUS.leakage_account.each(generation=GENERATIONS.names),
    *CORPUS.shards_account.each(generation=GENERATIONS.names),
    *CORPUS.gathered_findings_account.each(judge=CONFIG.screen, generation=GENERATIONS.names),
    *REPLAY_ACCOUNTS,
    *(f"{folder}/account.json" for folder in BENCHMARK_TABLES.values()),
]
FINDINGS = CORPUS.gathered_findings.each(judge=CONFIG.screen, generation=GENERATIONS.names)
METRICS = {"train": RUN.metrics()}
if MODELS.pretrain_start:
    METRICS = {"pretrain": f"{MODELS.start}/train/metrics.jsonl"} | METRICS
# Shared folders that this run uses, to count the cost of their jobs.
SHARED_FOLDERS = [
    *BENCHMARK_TABLES.values(),
    *(str(Path(file).parent) for file in FETCHED_BENCHMARKS.values()),
    *(backbone.folder(str(SHARED)) for backbone in (CONFIG.taxonomy.backbones if CONFIG.taxonomy else [])),
    *(MODELS.start, *MODELS.fetched),
]


JOB = job("report_corpus", CORPUS_LOGS, "report/corpus")


rule report_corpus:
    input:
        shards=[
            *CORPUS.shard_manifest.each(generation=GENERATIONS.names, split=["train", "val"]),
            *CORPUS.shard_index.each(generation=GENERATIONS.names, split=["train"]),
        ],
        labels=CORPUS.labels(),
        replay=CORPUS.replay_manifest.each(split=["train", "val"] if HAS_REPLAY else []),
    output:
        identity=ABOUT.identity(),
        composition=ABOUT.composition(),
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
        corpus=CORPUS.name,
        shards=CORPUS.shards.each(generation=GENERATIONS.names),
        replay=REPLAY_OPTION,
        version=step_version("report.corpus"),
    message:
        "report: compute the corpus's digest and counts"
    shell:
        "python -m workflow_scripts.report.corpus --name {params.corpus:q} --shards {params.shards:q} "
        "--labels {input.labels:q} {params.replay} --out {output.identity:q} --composition {output.composition:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("report_build", RUN_LOGS, "report/build")


rule report_build:
    input:
        scores=SCORING.all_scores(),
        predictions=[path for name in CONFIG.benchmarks for path in SCORING.predictions(name)],
        benchmarks=[f"{folder}/images.parquet" for folder in BENCHMARK_TABLES.values()],
        metrics=list(METRICS.values()),
        accounts=ACCOUNTS,
        hosts=CORPUS.gathered_hosts.each(generation=GENERATIONS.names),
        labels=CORPUS.labels(),
        taxonomy=CORPUS.labels_stats(),
        summary=RUN.summary(),
        identity=ABOUT.identity(),
        composition=ABOUT.composition(),
        intrinsic=RUN.intrinsic.each(model=MODELS.folders, benchmark=CONFIG.intrinsic_benchmarks()),
        embedding_maps=RUN.tsne.each(model=MODELS.folders, benchmark=CONFIG.intrinsic_benchmarks()),
        leakage=CORPUS.leakage.each(generation=GENERATIONS.names),
        findings=FINDINGS,
        gathered=CORPUS.gathered.each(generation=GENERATIONS.names) if FINDINGS else [],
    output:
        page=report(RUN.report(), caption="captions/page.rst", category="Run"),
        facts=RUN.facts(),
        table=report(RUN.score_table(), caption="captions/scores.rst", category="Run"),
        scores=RUN.score_rows(),
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
        run=CONFIG.run,
        corpus=CORPUS.name,
        config=CONFIG.recipe(SITE),
        downloads=CORPUS.downloads(),
        screened=option("refusals", CONFIG.refusals.rules and CONFIG.refusals.to_json()),
        # Params, not inputs: logs only give the cost of jobs.
        run_logs=RUN_LOGS,
        corpus_logs=CORPUS_LOGS,
        shared_logs=SHARED_LOGS,
        shared=sorted({os.path.basename(folder) for folder in SHARED_FOLDERS}),
        benchmarks=pairs({name: f"{folder}/images.parquet" for name, folder in BENCHMARK_TABLES.items()}),
        metrics=pairs(METRICS),
        version=step_version("report.build"),
    message:
        "report: build the page"
    shell:
        "python -m workflow_scripts.report.build --run {params.run:q} --corpus {params.corpus:q} --config {params.config:q} "
        "--scores {input.scores:q} --predictions {input.predictions:q} --benchmarks {params.benchmarks:q} "
        "--metrics {params.metrics:q} --accounts {input.accounts:q} --hosts {input.hosts:q} --labels {input.labels:q} "
        "--taxonomy {input.taxonomy:q} --summary {input.summary:q} "
        "--corpus-identity {input.identity:q} --composition {input.composition:q} --intrinsic {input.intrinsic:q} "
        "--embedding-maps {input.embedding_maps:q} --leakage {input.leakage:q} --downloads {params.downloads:q} "
        "--findings {input.findings:q} --gathered {input.gathered:q} {params.screened} "
        "--run-logs {params.run_logs:q} --corpus-logs {params.corpus_logs:q} --shared-logs {params.shared_logs:q} --shared {params.shared:q} "
        "--out {output.page:q} --log {log:q}"
