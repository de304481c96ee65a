"""Pretrain the starting model if the config asks for it, train, and export."""

# On a cluster, srun starts the container on each node: the image contains no srun.
TRAINING_IMAGE = None if SLURM else IMAGE


JOB = job("index_tars", SHARED_LOGS, "train/indexed-{indexed}.{split}")


rule index_tars:
    output:
        SHARED.indexed_manifest(),
        SHARED.indexed_index(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        indexed=one_of(Path(folder).name for folder in MIXTURE.indexed),
        split="train|val",
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        tars=lambda w: MIXTURE.tars(w.indexed, w.split),
        work=SHARED.work(step="indexed"),
        out=parent_of_output,
        version=step_version("train.index_tars"),
    message:
        "train: index existing tars"
    shell:
        "python -m workflow_scripts.train.index_tars --tars {params.tars:q} --work {params.work:q} "
        "--out-dir {params.out:q} --jobs {threads} --log {log:q}"


if MODELS.pretrain_start:
    PRETRAINED = "pretrain" not in WORDS.redo and Path(MODELS.start, "train/summary.json").exists()

    JOB = job("pretrain", SHARED_LOGS, f"train/{Path(MODELS.start).name}.pretrain")

    rule pretrain:
        input:
            start=f"{MODELS.pretrain_start}/open_clip_config.json",
            replay=ancient(REPLAY_TABLES) if PRETRAINED else REPLAY_TABLES,
        output:
            [f"{MODELS.start}/train/{file}" for file in TRAINING_FILES],
        log:
            JOB.log,
        benchmark:
            JOB.benchmark
        # The launcher restarts a crashed training within its job; a retry here would also repeat bad input.
        retries: 0
        conda:
            ENVIRONMENT
        container:
            TRAINING_IMAGE
        threads: JOB.cores
        resources:
            **JOB.resources,
            limits=CONFIG.limits.train.to_json(),
            torchrun=torchrun("pretrain", f"{MODELS.start}/train/summary.json"),
        params:
            start=subpath(input.start, parent=True),
            model=CONFIG.model.to_json(),
            replay=REPLAY_OPTION,
            settings=CONFIG.pretrain.to_json(),
            work=SHARED.work(step="pretrain"),
            out=parent_of_output,
            version=step_version("train.run"),
        message:
            "train: pretrain the starting model on replay pairs"
        shell:
            "{resources.torchrun} -m workflow_scripts.train.run --start {params.start:q} --model {params.model:q} "
            "{params.replay} --settings {params.settings:q} --limits {resources.limits:q} "
            "--work {params.work:q} --out-dir {params.out:q} --threads {threads} --log {log:q}"

    JOB = job("pretrain_export", SHARED_LOGS, f"train/{Path(MODELS.start).name}.export")

    rule pretrain_export:
        input:
            trained=f"{MODELS.start}/train/summary.json",
            start=f"{MODELS.pretrain_start}/open_clip_config.json",
        output:
            f"{MODELS.start}/open_clip_config.json",
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
            trained=subpath(input.trained, parent=True),
            start=subpath(input.start, parent=True),
            settings="{}",
            out=parent_of_output,
            version=step_version("train.export"),
        message:
            "train: export the starting model"
        shell:
            "python -m workflow_scripts.train.export --trained {params.trained:q} --start {params.start:q} "
            "--settings {params.settings:q} --out {params.out:q} --log {log:q}"


JOB = job("train_run", RUN_LOGS, "train/run")


rule train_run:
    input:
        start=training_inputs(f"{MODELS.start}/open_clip_config.json"),
        shards=training_inputs(MIXTURE.tables()),
        replay=training_inputs(REPLAY_TABLES if CONFIG.train.replay_batch else []),
    output:
        RUN.training.each(file=TRAINING_FILES),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    # The launcher restarts a crashed training within its job; a retry here would also repeat bad input.
    retries: 0
    conda:
        ENVIRONMENT
    container:
        TRAINING_IMAGE
    threads: JOB.cores
    resources:
        **JOB.resources,
        limits=CONFIG.limits.train.to_json(),
        scratch=option("scratch", SITE.scratch),
        torchrun=torchrun("train_run", RUN.summary()),
    params:
        start=subpath(input.start, parent=True),
        model=CONFIG.model.to_json(),
        corpora=MIXTURE.to_json(),
        replay=REPLAY_OPTION if CONFIG.train.replay_batch else "",
        validation=VALIDATION_OPTION,
        settings=CONFIG.train.to_json(),
        work=RUN.train_work(),
        out=parent_of_output,
        version=step_version("train.run"),
    message:
        "train: train the model"
    shell:
        "{resources.torchrun} -m workflow_scripts.train.run --start {params.start:q} --model {params.model:q} "
        "--corpora {params.corpora:q} {params.replay} {params.validation} {resources.scratch} "
        "--settings {params.settings:q} --limits {resources.limits:q} "
        "--work {params.work:q} --out-dir {params.out:q} --threads {threads} --log {log:q}"


JOB = job("model_export", RUN_LOGS, "train/export")


rule model_export:
    input:
        trained=RUN.summary(),
        start=f"{MODELS.start}/open_clip_config.json",
    output:
        RUN.model_config(),
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
        trained=subpath(input.trained, parent=True),
        start=subpath(input.start, parent=True),
        settings=CONFIG.export.to_json(),
        out=parent_of_output,
        version=step_version("train.export"),
    message:
        "train: export the model"
    shell:
        "python -m workflow_scripts.train.export --trained {params.trained:q} --start {params.start:q} "
        "--settings {params.settings:q} --out {params.out:q} --log {log:q}"


LABELS_TRAINED_ON = CORPUS.catalog_labels.each(generation=MIXTURE.own_generations)
# A corpus made elsewhere may have no catalog.
if GIVEN and not all(Path(path).exists() for path in LABELS_TRAINED_ON):
    LABELS_TRAINED_ON = []


JOB = job("species_texts", RUN_LOGS, "train/species_texts")


# Embeddings of the species names of the training's generations, in the format that pybioclip reads.
rule species_texts:
    input:
        model=RUN.model_config(),
        # The labels of a training's generations stay the same when the corpus grows.
        labels=ancient(CORPUS.labels()) if MIXTURE.is_behind else CORPUS.labels(),
        trained_on=LABELS_TRAINED_ON,
    output:
        RUN.species_texts.each(kind=["npy", "json"]),
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
        model=subpath(input.model, parent=True),
        templates=CONFIG.export.species_templates,
        out=parent_of_output,
        version=step_version("train.species_texts"),
    message:
        "train: embed the names of all species"
    shell:
        "python -m workflow_scripts.train.species_texts --model {params.model:q} --labels {input.labels:q} "
        "--trained-on {input.trained_on:q} --templates {params.templates} --memory-mb {resources.mem_mb} --out {params.out:q} --log {log:q}"


JOB = job("model_card", RUN_LOGS, "train/card")


rule model_card:
    input:
        trained=RUN.summary(),
        model=RUN.model_config(),
        scores=RUN.scores.each(model=[CONFIG.run], benchmark=CONFIG.benchmarks),
        # Only of the generations that were trained on.
        attributions=MIXTURE.attributions(),
        indexes=MIXTURE.indexes() if CONFIG.train.split == "train_small" else [],
        identity=ABOUT.identity() if MIXTURE.has_own else [],
        # The card lists images taken down since the training.
        ledgers=lambda w: [str(path) for path in LAYOUT.ledgers()],
    output:
        card=RUN.model_card(),
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
        trained=subpath(input.trained, parent=True),
        model=subpath(input.model, parent=True),
        settings=CONFIG.export.to_json(),
        title=CONFIG.run,
        corpora=option("corpora", MIXTURE.has_own and MIXTURE.own.to_json()),
        replay=REPLAY_OPTION if MIXTURE.has_own else "",
        identity=option("identity", MIXTURE.has_own and ABOUT.identity()),
        version=step_version("train.card"),
    message:
        "train: write the model card"
    shell:
        "python -m workflow_scripts.train.card --trained {params.trained:q} --model {params.model:q} "
        "--settings {params.settings:q} --title {params.title:q} --scores {input.scores:q} "
        "--attributions {input.attributions:q} --indexes {input.indexes:q} {params.identity} {params.corpora} {params.replay} "
        "--ledgers {input.ledgers:q} --out {output.card:q} --log {log:q}"
