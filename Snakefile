"""From the metadata of organism images to a trained and evaluated CLIP model. The targets are listed below."""


include: "rules/common.smk"


container: IMAGE


if CONFIG.world is not None:

    include: "rules/world.smk"


include: "rules/benchmarks.smk"


if GIVEN:

    include: "rules/given.smk"

else:

    include: "rules/catalog.smk"
    include: "rules/download.smk"
    include: "rules/screen.smk"
    include: "rules/taxonomy.smk"
    include: "rules/curate.smk"
    include: "rules/shards.smk"


if CONFIG.replay is not None:

    include: "rules/replay.smk"


include: "rules/models.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/intrinsic.smk"
include: "rules/report.smk"
include: "rules/publish.smk"


if CONFIG.ablations is not None:

    include: "rules/ablations.smk"


LAST_LINES = Places(CORPUS, RUN, GENERATIONS, SCORING, BENCHMARK_TABLES)
print_when_nothing_ran(workflow, LAST_LINES)


onsuccess:
    print_summary(workflow, LAST_LINES, failed=False)


onerror:
    print_summary(workflow, LAST_LINES, failed=True)


onstart:
    if ABSENT := needed(MISSING, workflow.dag, GENERATIONS):
        refuse_missing(ABSENT)
    # `--touch` redoes nothing: it accepts the existing files.
    if not workflow.touch and (REDONE := redone(workflow.dag, WORDS, CORPUS, LEDGER)):
        sys.exit(f"error: {refusal(REDONE)}")
    if LOST := too_much_by_now(workflow.dag, CONFIG.max_loss):
        sys.exit(f"error: {LOST}")
    if PLANNED_CORPORA.exists() or any(job.rule.name == "train_run" for job in workflow.dag.needrun_jobs()):
        write_json(PLANNED_CORPORA, MIXTURE.to_json())
    record_folders(CORPUS, GENERATIONS, workflow.dag)
    record_running()
    note_stop_signals()


if BEHIND:
    sys.stderr.write(
        f"run {CONFIG.run} keeps its training, although its data has changed: {'; '.join(BEHIND)}. "
        "--config redo=train replaces the model; --config run=NAME trains another one\n"
    )


# A dry run can plan without the missing files because this rule claims to make them. It never runs: `onstart` stops first.
if MISSING and workflow.is_main_process:

    rule given_by_a_person:
        output:
            sorted({*MISSING.values()}),
        log:
            "logs/shared/given.log",
        conda:
            ENVIRONMENT
        message:
            "check the files that you provide"
        shell:
            "ls -d {output:q} > /dev/null 2> {log}"


localrules:
    all,
    fetch,
    data,
    estimate,
    train,
    evaluate,
    report,
    publish,
    compare,
    leakage,


rule all:
    default_target: True
    input:
        RUN.report(),
        rules.model_card.output,
        rules.species_texts.output,
        ATTRIBUTIONS,
    message:
        "all: done"


FETCH_LOSSES = [] if GIVEN else CORPUS.gathered_loss.each(generation=GENERATIONS.names)
FETCH_LOSSES += [CORPUS.replay_loss()] if REPLAY_PARTS else []


# Everything that needs the internet. Run it on a machine with internet, then the rest on any machine.
rule fetch:
    input:
        CORPUS.gathered.each(generation=GENERATIONS.names),
        CORPUS.replay_download_part.each(part=REPLAY_PARTS),
        FETCHED,
        FETCHED_SOURCES.keys(),
        FETCHED_BENCHMARKS.values(),
        MODELS.fetched_files(),
        losses=FETCH_LOSSES,
    message:
        "fetch: done"


require_fetched(file for file in rules.fetch.input if file not in FETCH_LOSSES)


rule data:
    input:
        [] if GIVEN else expand(rules.shards_gather.output, generation=GENERATIONS.names),
        ATTRIBUTIONS,
        REPLAY_ACCOUNTS,
    message:
        "data: done"


rule train:
    input:
        RUN.model_config(),
    message:
        "train: done"


rule evaluate:
    input:
        SCORING.all_scores(),
    message:
        "evaluate: done"


rule report:
    input:
        RUN.report(),
    message:
        "report: done"


# Model and dataset, ready to publish. Uploading is a separate command.
rule publish:
    input:
        rules.publish_model.output,
        rules.publish_dataset.output,
    message:
        "publish: done"


# Finished runs side by side: `--config 'runs=[a,b]'`. No inputs, because runs of other configs cannot be made here.
rule compare:
    log:
        "logs/compare.log",
    conda:
        ENVIRONMENT
    params:
        runs=CONFIG.runs,
        results=SITE.results,
    message:
        "compare: report on several runs"
    shell:
        "python -m workflow_scripts.report.compare --runs {params.runs:q} --results {params.results:q} --log {log:q}"


LATER_BENCHMARKS = [
    name for name, layout in LAYOUTS.items() if layout in ("csv", "folders") and name not in CONFIG.curate.clean_of
]


# Leakage of the benchmarks that `curate.clean_of` does not list.
rule leakage:
    input:
        RUN.leakage.each(benchmark=LATER_BENCHMARKS),
    message:
        literally(
            f"leakage: scores of {', '.join(LATER_BENCHMARKS)} with and without leaked images are in {Path(RUN.leakage()).parent}"
        )
        if LATER_BENCHMARKS
        else "leakage: nothing to do; curate.clean_of lists every benchmark"


for defined in workflow.modifier.rules:
    complete(defined, dry_run=DRY_RUN)
keep_made(workflow.modifier.rules, WORDS.keep)
