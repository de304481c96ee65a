"""The papers' ablations over one corpus: replay and its projector, and text types; a table of what each variant scores."""

ABLATIONS = f"{RUN}/ablations"
VARIANTS = CONFIG.ablations.variants(CONFIG.train)
# What is scored, by how its classes are written: each benchmark under each text type, and replay under its captions.
TESTED = {
    (name, text_type): named_by(name, text_type)
    for name in CONFIG.ablations.benchmarks
    for text_type in CONFIG.train.text_types
}
TESTED |= {(CONFIG.ablations.replay, "captions"): CONFIG.benchmarks[CONFIG.ablations.replay]}
SCORED_VARIANTS = ["start", *VARIANTS]
ABLATION_SCORES = [
    f"{ABLATIONS}/scores/{text_type}/{variant}/{benchmark}.json"
    for benchmark, text_type in TESTED
    for variant in SCORED_VARIANTS
]


use rule train_run as ablation_train with:
    input:
        start=settled(f"{START}/open_clip_config.json"),
        shards=settled(shard_tables()),
        replay=settled(REPLAY_TABLES),
    output:
        multiext(
            f"{ABLATIONS}/{{variant}}/train/", "summary.json", "metrics.jsonl", "model.safetensors", "best.safetensors"
        ),
    log:
        f"{RUN_LOGS}/ablations/{{variant}}/train.log",
    benchmark:
        f"{RUN_LOGS}/ablations/{{variant}}/train.tsv"
    wildcard_constraints:
        variant=one_of(map(re.escape, VARIANTS)),
    resources:
        **asks("train_run"),
        limits=CONFIG.limits.train.to_json(),
        scratch=option("scratch", SITE.scratch),
        torchrun=variant_torchrun,
    params:
        start=subpath(input.start, parent=True),
        model=CONFIG.model.to_json(),
        corpora=CORPORA,
        replay=variant_replay,
        settings=variant_settings,
        work=variant_work,
        out=parent_of_output,
        version=step_version("train.run"),


use rule model_export as ablation_export with:
    input:
        trained=f"{ABLATIONS}/{{variant}}/train/summary.json",
        start=f"{START}/open_clip_config.json",
    output:
        f"{ABLATIONS}/{{variant}}/model/open_clip_config.json",
    log:
        f"{RUN_LOGS}/ablations/{{variant}}/export.log",
    benchmark:
        f"{RUN_LOGS}/ablations/{{variant}}/export.tsv"


use rule embed as ablation_embed with:
    input:
        model=variant_model,
        images=benchmark_images,
    output:
        features=f"{ABLATIONS}/{{variant}}/features/{{benchmark}}.safetensors",
    log:
        f"{RUN_LOGS}/ablations/{{variant}}/embed.{{benchmark}}.log",
    benchmark:
        f"{RUN_LOGS}/ablations/{{variant}}/embed.{{benchmark}}.tsv"
    params:
        model=variant_source,
        projector=projector,
        work=f"{SHARED}/.work/features",
        version=step_version("evaluate.embed"),


# One job for all variants.
for (benchmark, text_type), spec in TESTED.items():

    rule:
        name:
            f"ablation_{benchmark}_{text_type}"
        input:
            images=f"{BENCHMARK_TABLES[benchmark]}/images.parquet",
            features=expand(f"{ABLATIONS}/{{variant}}/features/{benchmark}.safetensors", variant=SCORED_VARIANTS),
            models=[f"{variant_folder(variant)}/open_clip_config.json" for variant in SCORED_VARIANTS],
        output:
            expand(
                f"{ABLATIONS}/scores/{text_type}/{{variant}}/{benchmark}.{{kind}}",
                variant=SCORED_VARIANTS,
                kind=["json", "predictions.parquet"],
            ),
        log:
            f"{RUN_LOGS}/ablations/{benchmark}-{text_type}.log",
        benchmark:
            f"{RUN_LOGS}/ablations/{benchmark}-{text_type}.tsv"
        conda:
            ENVIRONMENT
        resources:
            **asks("eval"),
        params:
            benchmark=benchmark,
            settings=spec.to_json(),
            models=pairs({variant: f"local-dir:{variant_folder(variant)}" for variant in SCORED_VARIANTS}),
            features=pairs(
                {variant: f"{ABLATIONS}/{variant}/features/{benchmark}.safetensors" for variant in SCORED_VARIANTS}
            ),
            out=grandparent_of_output,
            version=step_version("evaluate.score"),
        shell:
            "python -m workflow_scripts.evaluate.score --benchmark {params.benchmark:q} --settings {params.settings:q} "
            "--images {input.images:q} --models {params.models:q} --features {params.features:q} --out-dir {params.out:q} "
            "--threads {threads} --log {log:q}"


rule ablation_tables:
    input:
        ABLATION_SCORES,
    output:
        csv=f"{ABLATIONS}/scores.csv",
        parquet=f"{ABLATIONS}/scores.parquet",
    log:
        f"{RUN_LOGS}/ablations/tables.log",
    conda:
        ENVIRONMENT
    resources:
        **asks("report_build"),
    params:
        version=step_version("report.ablations"),
    shell:
        "python -m workflow_scripts.report.ablations --scores {input:q} --csv {output.csv:q} --parquet {output.parquet:q} --log {log:q}"


# Two tables: what is forgotten without replay and with one projector; and each text type tested on each.
rule ablations:
    input:
        f"{ABLATIONS}/scores.parquet",
    localrule: True
