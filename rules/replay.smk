"""Select replay pairs from LAION-like metadata, download them before the corpus, and write them to shards."""

JOB = job("replay_select", CORPUS_LOGS, "replay/select")


rule replay_select:
    input:
        metadata=CONFIG.replay.metadata,
    output:
        parts=CORPUS.replay_part.each(part=REPLAY_PARTS),
        account=CORPUS.replay_selection_account(),
        hosts=CORPUS.replay_hosts(),
        manifest=CORPUS.replay_selection(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        limits=CONFIG.limits.download.to_json(),
        dealt=CORPUS.replay_dealt(),
    params:
        settings=CONFIG.replay.to_json(),
        out=parent_of_output,
        version=step_version("replay.select"),
    message:
        "replay: select pairs and assign parts"
    shell:
        "python -m workflow_scripts.replay.select --metadata {input.metadata:q} --settings {params.settings:q} "
        "--limits {resources.limits:q} --dealt {resources.dealt:q} --out-dir {params.out:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("replay_download", CORPUS_LOGS, "replay/part-{part}", internet=True)


use rule download as replay_download with:
    input:
        part=CORPUS.replay_part(),
        served=SERVED_FROM,
        others=ancient(CORPUS.replay_hosts()),
    output:
        manifest=CORPUS.replay_download_part(),
        account=CORPUS.replay_download_part_account(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    localrule: INTERNET_HERE
    threads: JOB.cores
    resources:
        **JOB.resources,
        limits=CONFIG.limits.download.to_json(),
        served=SERVED,
        contact=CONTACT,
        ledger=LEDGER,
        share=lambda w: share(REPLAY_PARTS, w.part),
    params:
        settings=CONFIG.replay.download.to_json(),
        work=CORPUS.download_work(),
        out=parent_of_output,
        version=step_version("download.fetch"),
    message:
        "replay: fetch the images of part {wildcards.part}"


JOB = job("replay_loss", CORPUS_LOGS, "replay/loss")


# Stops before the shards if too many pairs failed.
rule replay_loss:
    input:
        manifests=CORPUS.replay_download_part.each(part=REPLAY_PARTS),
    output:
        loss=CORPUS.replay_loss(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    localrule: True
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        max_loss=CONFIG.max_loss.to_json(),
    message:
        "replay: check the losses"
    shell:
        "python -m workflow_scripts.replay.loss --manifests {input.manifests:q} "
        "--max-loss {resources.max_loss:q} --out {output.loss:q} --log {log:q}"


JOB = job("replay_write", CORPUS_LOGS, "replay/write")


rule replay_write:
    input:
        selection=CORPUS.replay_part.each(part=REPLAY_PARTS),
        manifests=CORPUS.replay_download_part.each(part=REPLAY_PARTS),
        checked=ancient(CORPUS.replay_loss()),
    output:
        manifests=CORPUS.replay_manifest.each(split=["train", "val"]),
        indexes=CORPUS.replay_index.each(split=["train", "val"]),
        account=CORPUS.replay_account(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        ledger=LEDGER,
        held=PAST_IMAGES,
    params:
        settings=CONFIG.replay.to_json(),
        work=CORPUS.replay_work(),
        out=CORPUS.replay(),
        version=step_version("replay.write"),
    message:
        "replay: write the shards"
    shell:
        "python -m workflow_scripts.replay.write --selection {input.selection:q} --manifests {input.manifests:q} "
        "--ledger {resources.ledger:q} --held {resources.held:q} --settings {params.settings:q} --work {params.work:q} "
        "--out-dir {params.out:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
