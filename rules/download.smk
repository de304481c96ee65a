"""Images over HTTP, part by part. These rules need the internet."""

# The embedded world answers only while a job that needs it runs; a real run has no such prefix.
SERVED = f"python -m workflow_scripts.world.serve {option('world', WORLD)} -- " if CONFIG.world is not None else ""
CONTACT = option("contact", SITE.contact)
SERVED_FROM = f"{WORLD}/world.json" if CONFIG.world is not None else []


rule download_hosts:
    input:
        hosts=named_hosts,
    output:
        named=f"{CORPUS}/download/{{generation}}.named.parquet",
    log:
        f"{CORPUS_LOGS}/download/{{generation}}.named.log",
    conda:
        ENVIRONMENT
    threads: cores("download_hosts")
    resources:
        **asks("download_hosts"),
    params:
        version=step_version("download.name_hosts"),
    shell:
        "python -m workflow_scripts.download.name_hosts --hosts {input.hosts:q} --out {output.named:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


rule download:
    input:
        part=catalog_part,
        served=SERVED_FROM,
        others=ancient(named_beside),
        earlier=ancient(earlier_downloads),
    output:
        manifest=f"{CORPUS}/download/part-{{part}}/manifest.parquet",
        account=f"{CORPUS}/download/part-{{part}}/account.json",
    log:
        f"{CORPUS_LOGS}/download/part-{{part}}.log",
    benchmark:
        f"{CORPUS_LOGS}/download/part-{{part}}.tsv"
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: cores("download")
    resources:
        **asks("download", internet=True),
        limits=CONFIG.limits.download.to_json(),
        served=SERVED,
        contact=CONTACT,
        ledger=LEDGER,
        share=part_share,
    params:
        settings=CONFIG.download.to_json(),
        work=f"{CORPUS}/.work/download",
        out=subpath(output.manifest, parent=True),
        version=step_version("download.fetch"),
    shell:
        "HF_HUB_OFFLINE=0 {resources.served}python -m workflow_scripts.download.fetch --part {input.part:q} "
        "--settings {params.settings:q} --limits {resources.limits:q} {resources.contact} "
        "--ledger {resources.ledger:q} --others {input.others:q} {resources.share} --wait --work {params.work:q} --out-dir {params.out:q} --log {log:q}"


# Only what failed for a passing reason, all in one job, which has every host's policy to itself. No flag stays, and what
# follows reruns only if something came.
rule retry_failed:
    input:
        parts=[part for generation in GENERATIONS for part in catalog_parts(generation)],
        manifests=download_manifests,
        replay_parts=replay_selection,
        replay_manifests=replay_manifests,
        served=SERVED_FROM,
    log:
        f"{CORPUS_LOGS}/download/retry.log",
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: cores("retry_failed")
    resources:
        **asks("retry_failed", internet=True),
        limits=CONFIG.limits.download.to_json(),
        served=SERVED,
        contact=CONTACT,
        ledger=LEDGER,
    params:
        settings=CONFIG.download.to_json(),
        replay=(option("replay-settings", CONFIG.replay.download.to_json()) if CONFIG.replay else ""),
        work=f"{CORPUS}/.work/download",
    shell:
        "HF_HUB_OFFLINE=0 {resources.served}python -m workflow_scripts.download.retry --parts {input.parts:q} "
        "--manifests {input.manifests:q} --settings {params.settings:q} --replay-parts {input.replay_parts:q} "
        "--replay-manifests {input.replay_manifests:q} {params.replay} --limits {resources.limits:q} "
        "{resources.contact} --ledger {resources.ledger:q} --work {params.work:q} --log {log:q}"


rule estimate:
    input:
        parts=[part for generation in GENERATIONS for part in catalog_parts(generation)],
        replay=replay_selection,
        labels=expand(f"{CORPUS}/catalog/{{generation}}/labels.parquet", generation=GENERATIONS),
    log:
        f"{CORPUS_LOGS}/download/estimate.log",
    conda:
        ENVIRONMENT
    threads: cores("estimate")
    resources:
        **asks("estimate"),
        limits=CONFIG.limits.download.to_json(),
    params:
        settings=CONFIG.download.to_json(),
        epochs=CONFIG.train.epochs,
        model=CONFIG.model.architecture if isinstance(CONFIG.model.architecture, str) else "this model",
        groups=CONFIG.shard_jobs,
    shell:
        "python -m workflow_scripts.download.estimate --parts {input.parts:q} {input.replay:q} "
        "--settings {params.settings:q} --limits {resources.limits:q} --memory-mb {resources.mem_mb} --log {log:q} && "
        "python -m workflow_scripts.report.scale --catalog {input.parts:q} --catalog-labels {input.labels:q} "
        "--epochs {params.epochs} --model {params.model:q} --groups {params.groups}"


rule download_gather:
    input:
        manifests=generation_manifests,
    output:
        downloads=f"{CORPUS}/download/{{generation}}.parquet",
        account=f"{CORPUS}/download/{{generation}}.account.json",
        hosts=f"{CORPUS}/download/{{generation}}.hosts.parquet",
    log:
        f"{CORPUS_LOGS}/download/{{generation}}.log",
    benchmark:
        f"{CORPUS_LOGS}/download/{{generation}}.tsv"
    conda:
        ENVIRONMENT
    threads: cores("download_gather")
    resources:
        **asks("download_gather"),
    params:
        parts=generation_parts,
        version=step_version("download.gather"),
    shell:
        "python -m workflow_scripts.download.gather --manifests {input.manifests:q} --parts {params.parts} "
        "--out {output.downloads:q} --account {output.account:q} --hosts {output.hosts:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
