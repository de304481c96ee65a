"""Images over HTTP, part by part. These rules need the internet."""

# The embedded world answers only while a job that needs it runs; a real run has no such prefix.
SERVED = f"python -m workflow_scripts.world.serve {option('world', WORLD)} -- " if CONFIG.world is not None else ""
CONTACT = option("contact", SITE.contact)
SERVED_FROM = f"{WORLD}/world.json" if CONFIG.world is not None else []
RETRIED = [f"{CORPUS}/download/part-{part}/.retried" for generation in GENERATIONS for part in parts_of(generation)]


rule download:
    input:
        part=steady("download", catalog_part),
        served=SERVED_FROM,
        earlier=ancient(earlier_downloads),
    output:
        manifest=f"{CORPUS}/download/part-{{part}}/manifest.parquet",
        account=f"{CORPUS}/download/part-{{part}}/account.json",
    log:
        f"{CORPUS_LOGS}/download/part-{{part}}.log",
    benchmark:
        f"{CORPUS_LOGS}/download/part-{{part}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        internet=1,
        limits=CONFIG.limits.download.to_json(),
        served=SERVED,
        contact=CONTACT,
        ledger=LEDGER,
        share=part_share,
    params:
        settings=held("download", "settings", CONFIG.download.to_json()),
        work=f"{CORPUS}/.work/download",
        out=subpath(output.manifest, parent=True),
        code=held("download", "code", code("download.fetch")),
    shell:
        "HF_HUB_OFFLINE=0 {resources.served}python -m workflow_scripts.download.fetch --part {input.part:q} "
        "--settings {params.settings:q} --limits {resources.limits:q} {resources.contact} "
        "--ledger {resources.ledger:q} {resources.share} --wait --work {params.work:q} --out-dir {params.out:q} --log {log:q}"


rule retry_part:
    input:
        part=catalog_part,
        manifest=f"{CORPUS}/download/part-{{part}}/manifest.parquet",
        served=SERVED_FROM,
        earlier=earlier_retries,
    output:
        touch(f"{CORPUS}/download/part-{{part}}/.retried"),
    log:
        f"{CORPUS_LOGS}/download/part-{{part}}.retry.log",
    conda:
        ENVIRONMENT
    resources:
        internet=1,
        limits=CONFIG.limits.download.to_json(),
        served=SERVED,
        contact=CONTACT,
        ledger=LEDGER,
        share=part_share,
    params:
        settings=CONFIG.download.to_json(),
        work=f"{CORPUS}/.work/download",
        out=subpath(input.manifest, parent=True),
    shell:
        "HF_HUB_OFFLINE=0 {resources.served}python -m workflow_scripts.download.retry --part {input.part:q} "
        "--settings {params.settings:q} --limits {resources.limits:q} {resources.contact} "
        "--ledger {resources.ledger:q} {resources.share} --work {params.work:q} --out-dir {params.out:q} --log {log:q}"


rule estimate:
    input:
        parts=[part for generation in GENERATIONS for part in catalog_parts(generation)],
        replay=replay_selection,
    log:
        f"{CORPUS_LOGS}/download/estimate.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=SITE.memory_mb,
        limits=CONFIG.limits.download.to_json(),
    params:
        settings=CONFIG.download.to_json(),
    shell:
        "python -m workflow_scripts.download.estimate --parts {input.parts:q} {input.replay:q} "
        "--settings {params.settings:q} --limits {resources.limits:q} --memory-mb {resources.mem_mb} --log {log:q}"


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
    resources:
        mem_mb=SITE.memory_mb,
    params:
        parts=generation_parts,
        code=code("download.gather"),
    shell:
        "python -m workflow_scripts.download.gather --manifests {input.manifests:q} --parts {params.parts} "
        "--out {output.downloads:q} --account {output.account:q} --hosts {output.hosts:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
