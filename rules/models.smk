"""Models by their sources, each as a folder: what training starts from, and what is scored beside the run's own."""

# The starting weights, and where pretraining makes them, what it starts from itself.
if CONFIG.model.kind == "pretrain":
    START = f"{SHARED}/models/pretrained-{identity(CONFIG.model, CONFIG.pretrain, CONFIG.replay, CONFIG.corpus)}"
    PRETRAIN_START = f"{SHARED}/models/random-{identity(CONFIG.model.model_copy(update={'start': None}))}"
else:
    START = f"{SHARED}/models/start-{identity(CONFIG.model)}"
    PRETRAIN_START = None


def model_folder(baseline):
    """Where a baseline's files lie."""
    if baseline.kind == "run":
        return START
    return baseline.place if baseline.is_ready else f"{SHARED}/models/fetched-{identity(baseline)}"


# Models to score: the baselines, then the run's own.
MODELS = {name: model_folder(one) for name, one in CONFIG.baselines.items()} | {CONFIG.run: f"{RUN}/model"}
WITHOUT_TEXT = [name for name, one in CONFIG.baselines.items() if not one.has_text]
# What is fetched, by the name of its folder.
FETCHED_MODELS = {Path(PRETRAIN_START or START).name: CONFIG.model.fetched} | {
    Path(model_folder(one)).name: one for one in CONFIG.baselines.values() if one.kind != "run" and not one.is_ready
}
MODEL_FILES = [f"{SHARED}/models/{name}/{one.config_name}" for name, one in FETCHED_MODELS.items()]


def files_of_model(name):
    """What of a model the rules can watch."""
    baseline = CONFIG.baselines.get(name)
    if baseline is None or not baseline.is_ready:
        return [f"{MODELS[name]}/{baseline.config_name if baseline else 'open_clip_config.json'}"]
    return baseline.files


def source_of_model(name):
    return f"{'timm:' if name in WITHOUT_TEXT else ''}local-dir:{MODELS[name]}"


def model_source_files(wildcards):
    return FETCHED_MODELS[wildcards.fetched].files


def model_source_json(wildcards):
    return FETCHED_MODELS[wildcards.fetched].to_json()


def trainable_option(wildcards):
    return "--trainable" if wildcards.fetched == Path(PRETRAIN_START or START).name else ""


# Weights from a hub or a file into a folder, so that no training or scoring job fetches anything.
rule model_fetch:
    input:
        model_source_files,
    output:
        f"{SHARED}/models/{{fetched}}/open_clip_config.json",
    log:
        f"{SHARED_LOGS}/models/{{fetched}}.log",
    benchmark:
        f"{SHARED_LOGS}/models/{{fetched}}.tsv"
    wildcard_constraints:
        fetched=one_of(name for name, one in FETCHED_MODELS.items() if one.has_text),
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: cores("model_fetch")
    resources:
        **asks("model_fetch", internet=True),
    params:
        model=model_source_json,
        trainable=trainable_option,
        out=parent_of_output,
        version=step_version("models.fetch"),
    shell:
        "HF_HUB_OFFLINE=0 python -m workflow_scripts.models.fetch --model {params.model:q} {params.trainable} "
        "--out {params.out:q} --log {log:q}"


use rule model_fetch as vision_model_fetch with:
    output:
        f"{SHARED}/models/{{fetched}}/config.json",
    wildcard_constraints:
        fetched=one_of(name for name, one in FETCHED_MODELS.items() if not one.has_text),
