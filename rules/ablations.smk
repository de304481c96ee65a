"""The papers' ablations on one corpus: replay, its projector, and text types, with a table of each variant's scores."""

VARIANTS = CONFIG.ablations.variants(CONFIG.train)
# A variant's folder is laid out like a run's.
VARIANT = Run(RUN.ablation())


# The models of the variants and their common starting model.
SCORED_VARIANTS = {"start": MODELS.start} | {name: Run(RUN.ablation(variant=name)).model() for name in VARIANTS}
TESTED = CONFIG.ablations.tested(CONFIG.benchmarks, CONFIG.train.text_types)

JOB = job("train_run", RUN_LOGS, "ablations/{variant}/train")


use rule train_run as ablation_train with:
    input:
        start=training_inputs(f"{MODELS.start}/open_clip_config.json"),
        shards=training_inputs(MIXTURE.tables()),
        replay=training_inputs(REPLAY_TABLES),
    output:
        VARIANT.training.each(file=TRAINING_FILES),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        variant=one_of(VARIANTS),
    resources:
        **JOB.resources,
        limits=CONFIG.limits.train.to_json(),
        scratch=option("scratch", SITE.scratch),
        torchrun=lambda w: torchrun("train_run", Run(RUN.ablation(variant=w.variant)).summary()),
    params:
        start=subpath(input.start, parent=True),
        model=CONFIG.model.to_json(),
        corpora=MIXTURE.to_json(),
        replay=lambda w: REPLAY_OPTION if VARIANTS[w.variant].replay_batch else "",
        validation=VALIDATION_OPTION,
        settings=lambda w: VARIANTS[w.variant].to_json(),
        work=lambda w: Run(RUN.ablation(variant=w.variant)).train_work(),
        out=parent_of_output,
        version=step_version("train.run"),
    message:
        "ablations: train {wildcards.variant}"


JOB = job("model_export", RUN_LOGS, "ablations/{variant}/export")


use rule model_export as ablation_export with:
    input:
        trained=VARIANT.summary(),
        start=f"{MODELS.start}/open_clip_config.json",
    output:
        VARIANT.model_config(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    message:
        "ablations: export {wildcards.variant}"


JOB = job("embed", RUN_LOGS, "ablations/{variant}/embed.{benchmark}")


use rule embed as ablation_embed with:
    input:
        model=lambda w: f"{SCORED_VARIANTS[w.variant]}/open_clip_config.json",
        images=benchmark_images,
    output:
        features=RUN.ablation_features(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    params:
        model=lambda w: f"local-dir:{SCORED_VARIANTS[w.variant]}",
        projector=projector,
        precise="",
        work=SHARED.work(step="features"),
        version=step_version("evaluate.embed"),
    message:
        "ablations: embed the images of {wildcards.benchmark} with {wildcards.variant}"


# One job for all variants.
for (benchmark, text_type), spec in TESTED.items():
    JOB = job("eval", RUN_LOGS, f"ablations/{benchmark}-{text_type}")
    FEATURES = {name: RUN.ablation_features(variant=name, benchmark=benchmark) for name in SCORED_VARIANTS}

    rule:
        name:
            f"ablation_{benchmark}_{text_type}"
        input:
            images=f"{BENCHMARK_TABLES[benchmark]}/images.parquet",
            features=FEATURES.values(),
            models=[f"{folder}/open_clip_config.json" for folder in SCORED_VARIANTS.values()],
        output:
            RUN.ablation_scores.each(
                text_type=[text_type],
                variant=SCORED_VARIANTS,
                benchmark=[benchmark],
                kind=["json", "predictions.parquet"],
            ),
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
            models=pairs({name: f"local-dir:{folder}" for name, folder in SCORED_VARIANTS.items()}),
            features=pairs(FEATURES),
            out=grandparent_of_output,
            version=step_version(f"evaluate.{spec.layout}.score"),
        message:
            f"ablations: score {benchmark} with captions of type {text_type}"
        shell:
            "python -m workflow_scripts.evaluate.{params.layout}.score --benchmark {params.benchmark:q} "
            "--settings {params.settings:q} --images {input.images:q} --models {params.models:q} "
            "--features {params.features:q} --out-dir {params.out:q} "
            "--threads {threads} --log {log:q}"


JOB = job("report_build", RUN_LOGS, "ablations/tables")


rule ablation_tables:
    input:
        [
            RUN.ablation_scores(text_type=text_type, variant=variant, benchmark=benchmark, kind="json")
            for benchmark, text_type in TESTED
            for variant in SCORED_VARIANTS
        ],
    output:
        csv=RUN.ablation_table(kind="csv"),
        parquet=RUN.ablation_table(kind="parquet"),
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
        version=step_version("report.ablations"),
    message:
        "ablations: write the tables of scores"
    shell:
        "python -m workflow_scripts.report.ablations --scores {input:q} --csv {output.csv:q} --parquet {output.parquet:q} --log {log:q}"


# Compares training without replay and with one projector, and each text type on each.
rule ablations:
    input:
        rules.ablation_tables.output.parquet,
    localrule: True
    message:
        "ablations: done"
