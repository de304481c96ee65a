"""Pretraining where the config asks for it, training, and the export."""

SHARDS = expand(f"{CORPUS}/shards/{{generation}}", generation=GENERATIONS)
OWN = CorpusShards(
    shards=SHARDS,
    labels=f"{CORPUS}/taxonomy/labels.parquet",
    replay=f"{CORPUS}/replay" if HAS_REPLAY else None,
    digest=CONFIG.corpus_digest,
)
# Tars of any origin, once they are indexed.
INDEXED = {f"{SHARED}/indexed/{identity(entry.tars, entry.val_tars)}": entry for entry in CONFIG.mix if entry.tars}
# What the main process planned, for its jobs: outputs are deleted before a job starts, and a training's record with them.
PLANNED_CORPORA = Path(RUN, ".work/train/corpora.json")
if PLANNED_CORPORA.exists() and not workflow.is_main_process:
    CORPORA = json.loads(PLANNED_CORPORA.read_text())
else:
    CORPORA = [corpus.to_json() for corpus in (TRAINED.corpora(mixed_corpora()) if TRAINED else mixed_corpora())]

REPLAY_TABLES = (
    expand(
        f"{CORPUS}/replay/{{split}}/{{table}}.parquet",
        split=["train", "val"],
        table=["manifest", "index"],
    )
    if HAS_REPLAY
    else []
)
BEHIND = list(
    TRAINED.behind(mixed_corpora(), CONFIG.train.split, Path(CORPUS, "replay") if CONFIG.train.replay_batch else None)
    if TRAINED
    else []
)
# On a cluster a training enters its image on each of its nodes, behind srun, which no image has.
TRAINING_IMAGE = None if SLURM else IMAGE


rule index_tars:
    output:
        multiext(f"{SHARED}/indexed/{{indexed}}/{{split}}/", "manifest.parquet", "index.parquet"),
    log:
        f"{SHARED_LOGS}/train/indexed-{{indexed}}.{{split}}.log",
    benchmark:
        f"{SHARED_LOGS}/train/indexed-{{indexed}}.{{split}}.tsv"
    wildcard_constraints:
        indexed=one_of(map(os.path.basename, INDEXED)),
        split="train|val",
    conda:
        ENVIRONMENT
    threads: cores("index_tars")
    resources:
        **asks("index_tars"),
    params:
        tars=indexed_tars,
        work=f"{SHARED}/.work/indexed",
        out=parent_of_output,
        version=step_version("train.index_tars"),
    shell:
        "python -m workflow_scripts.train.index_tars --tars {params.tars:q} --work {params.work:q} "
        "--out-dir {params.out:q} --jobs {threads} --log {log:q}"


if PRETRAIN_START:
    PRETRAINED = "pretrain" not in WORDS.redo and Path(START, "train/summary.json").exists()

    rule pretrain:
        input:
            start=f"{PRETRAIN_START}/open_clip_config.json",
            replay=ancient(REPLAY_TABLES) if PRETRAINED else REPLAY_TABLES,
        output:
            multiext(f"{START}/train/", "summary.json", "metrics.jsonl", "model.safetensors", "best.safetensors"),
        log:
            f"{SHARED_LOGS}/train/{Path(START).name}.pretrain.log",
        benchmark:
            f"{SHARED_LOGS}/train/{Path(START).name}.pretrain.tsv"
        # What crashed is started again by the launcher, within the job; here bad input would be tried again too.
        retries: 0
        conda:
            ENVIRONMENT
        container:
            TRAINING_IMAGE
        threads: cores("pretrain")
        resources:
            **asks("pretrain"),
            limits=CONFIG.limits.train.to_json(),
            torchrun=torchrun("pretrain", f"{START}/train/summary.json"),
        params:
            start=subpath(input.start, parent=True),
            model=CONFIG.model.to_json(),
            replay=REPLAY_OPTION,
            settings=CONFIG.pretrain.to_json(),
            work=f"{SHARED}/.work/pretrain",
            out=parent_of_output,
            version=step_version("train.run"),
        shell:
            "{resources.torchrun} -m workflow_scripts.train.run --start {params.start:q} --model {params.model:q} "
            "{params.replay} --settings {params.settings:q} --limits {resources.limits:q} "
            "--work {params.work:q} --out-dir {params.out:q} --threads {threads} --log {log:q}"

    rule pretrain_export:
        input:
            trained=f"{START}/train/summary.json",
            start=f"{PRETRAIN_START}/open_clip_config.json",
        output:
            f"{START}/open_clip_config.json",
        log:
            f"{SHARED_LOGS}/train/{Path(START).name}.export.log",
        benchmark:
            f"{SHARED_LOGS}/train/{Path(START).name}.export.tsv"
        conda:
            ENVIRONMENT
        threads: cores("pretrain_export")
        resources:
            **asks("pretrain_export"),
        params:
            trained=subpath(input.trained, parent=True),
            start=subpath(input.start, parent=True),
            settings="{}",
            out=parent_of_output,
            version=step_version("train.export"),
        shell:
            "python -m workflow_scripts.train.export --trained {params.trained:q} --start {params.start:q} "
            "--settings {params.settings:q} --out {params.out:q} --log {log:q}"


def settled(files):
    """A training's inputs: a finished one does not mind that they have changed since."""
    return ancient(files) if TRAINED else files


rule train_run:
    input:
        start=settled(f"{START}/open_clip_config.json"),
        shards=settled(shard_tables()),
        replay=settled(REPLAY_TABLES if CONFIG.train.replay_batch else []),
    output:
        multiext(f"{RUN}/train/", "summary.json", "metrics.jsonl", "model.safetensors", "best.safetensors"),
    log:
        f"{RUN_LOGS}/train/run.log",
    benchmark:
        f"{RUN_LOGS}/train/run.tsv"
    # What crashed is started again by the launcher, within the job; here bad input would be tried again too.
    retries: 0
    conda:
        ENVIRONMENT
    container:
        TRAINING_IMAGE
    threads: cores("train_run")
    resources:
        **asks("train_run"),
        limits=CONFIG.limits.train.to_json(),
        scratch=option("scratch", SITE.scratch),
        torchrun=torchrun("train_run", f"{RUN}/train/summary.json"),
    params:
        start=subpath(input.start, parent=True),
        model=CONFIG.model.to_json(),
        corpora=CORPORA,
        replay=REPLAY_OPTION if CONFIG.train.replay_batch else "",
        settings=CONFIG.train.to_json(),
        work=f"{RUN}/.work/train",
        out=parent_of_output,
        version=step_version("train.run"),
    shell:
        "{resources.torchrun} -m workflow_scripts.train.run --start {params.start:q} --model {params.model:q} "
        "--corpora {params.corpora:q} {params.replay} {resources.scratch} "
        "--settings {params.settings:q} --limits {resources.limits:q} "
        "--work {params.work:q} --out-dir {params.out:q} --threads {threads} --log {log:q}"


rule model_export:
    input:
        trained=f"{RUN}/train/summary.json",
        start=f"{START}/open_clip_config.json",
    output:
        f"{RUN}/model/open_clip_config.json",
    log:
        f"{RUN_LOGS}/train/export.log",
    benchmark:
        f"{RUN_LOGS}/train/export.tsv"
    conda:
        ENVIRONMENT
    threads: cores("model_export")
    resources:
        **asks("model_export"),
    params:
        trained=subpath(input.trained, parent=True),
        start=subpath(input.start, parent=True),
        settings=CONFIG.export.to_json(),
        out=parent_of_output,
        version=step_version("train.export"),
    shell:
        "python -m workflow_scripts.train.export --trained {params.trained:q} --start {params.start:q} "
        "--settings {params.settings:q} --out {params.out:q} --log {log:q}"


TRAINED_ON_OWN = any(CorpusShards.model_validate_json(corpus).labels == OWN.labels for corpus in CORPORA)


# The corpus's species as pybioclip wants them.
rule species_texts:
    input:
        model=f"{RUN}/model/open_clip_config.json",
        labels=f"{CORPUS}/taxonomy/labels.parquet",
    output:
        multiext(f"{RUN}/model/txt_emb_species", ".npy", ".json"),
    log:
        f"{RUN_LOGS}/train/species_texts.log",
    benchmark:
        f"{RUN_LOGS}/train/species_texts.tsv"
    conda:
        ENVIRONMENT
    threads: cores("species_texts")
    resources:
        **asks("species_texts"),
    params:
        model=subpath(input.model, parent=True),
        templates=CONFIG.export.species_templates,
        out=parent_of_output,
        version=step_version("train.species_texts"),
    shell:
        "python -m workflow_scripts.train.species_texts --model {params.model:q} --labels {input.labels:q} "
        "--templates {params.templates} --memory-mb {resources.mem_mb} --out {params.out:q} --log {log:q}"


rule model_card:
    input:
        trained=f"{RUN}/train/summary.json",
        model=f"{RUN}/model/open_clip_config.json",
        scores=expand(f"{RUN}/scores/{CONFIG.run}/{{benchmark}}.json", benchmark=CONFIG.benchmarks),
        attributions=ATTRIBUTIONS,
        identity=f"{ABOUT}/corpus.json" if TRAINED_ON_OWN else [],
    output:
        card=f"{RUN}/model/README.md",
    log:
        f"{RUN_LOGS}/train/card.log",
    benchmark:
        f"{RUN_LOGS}/train/card.tsv"
    conda:
        ENVIRONMENT
    threads: cores("model_card")
    resources:
        **asks("model_card"),
    params:
        trained=subpath(input.trained, parent=True),
        model=subpath(input.model, parent=True),
        settings=CONFIG.export.to_json(),
        title=CONFIG.run,
        corpora=option("corpora", TRAINED_ON_OWN and OWN.to_json()),
        replay=REPLAY_OPTION if TRAINED_ON_OWN else "",
        identity=option("identity", TRAINED_ON_OWN and f"{ABOUT}/corpus.json"),
        version=step_version("train.card"),
    shell:
        "python -m workflow_scripts.train.card --trained {params.trained:q} --model {params.model:q} "
        "--settings {params.settings:q} --title {params.title:q} --scores {input.scores:q} "
        "--attributions {input.attributions:q} {params.identity} {params.corpora} {params.replay} --out {output.card:q} --log {log:q}"
