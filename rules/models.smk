"""Fetch model weights into a folder, so that training and scoring run offline."""

JOB = job("model_fetch", SHARED_LOGS, "models/{fetched}", internet=True)


rule model_fetch:
    input:
        lambda w: MODELS.fetched[w.fetched].files,
    output:
        SHARED.fetched_model(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        fetched=one_of(name for name, one in MODELS.fetched.items() if one.has_text),
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        model=lambda w: MODELS.fetched[w.fetched].to_json(),
        trainable=lambda w: "--trainable" if w.fetched == MODELS.trainable else "",
        out=parent_of_output,
        version=step_version("models.fetch"),
    message:
        "models: fetch {wildcards.fetched}"
    shell:
        "HF_HUB_OFFLINE=0 python -m workflow_scripts.models.fetch --model {params.model:q} {params.trainable} "
        "--out {params.out:q} --log {log:q}"


use rule model_fetch as vision_model_fetch with:
    output:
        SHARED.fetched_vision_model(),
    wildcard_constraints:
        fetched=one_of(name for name, one in MODELS.fetched.items() if not one.has_text),
