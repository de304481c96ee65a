"""Replay pairs: chosen from LAION-like metadata, downloaded like everything else, and sharded."""

REPLAY = f"{CORPUS}/replay"
REPLAY_METADATA = CONFIG.replay.metadata
REPLAY_PARTS = [f"{number:04d}" for number in range(CONFIG.replay.parts)]
REPLAY_SELECTION = expand(f"{REPLAY}/selection/part-{{part}}.parquet", part=REPLAY_PARTS)
REPLAY_HOSTS = f"{REPLAY}/selection/hosts.parquet"
REPLAY_MANIFESTS = expand(f"{REPLAY}/download/part-{{part}}/manifest.parquet", part=REPLAY_PARTS)
REPLAY_ACCOUNTS = [f"{REPLAY}/selection/account.json", f"{REPLAY}/account.json"]


rule replay_select:
    input:
        metadata=REPLAY_METADATA,
        # A later catalogue deals around what replay was dealt; it does not deal replay anew.
        beside=ancient(f"{CORPUS}/catalog/g000/hosts.parquet"),
    output:
        parts=expand(f"{REPLAY}/selection/part-{{part}}.parquet", part=REPLAY_PARTS),
        account=f"{REPLAY}/selection/account.json",
        hosts=REPLAY_HOSTS,
        manifest=f"{REPLAY}/selection/selection.json",
    log:
        f"{CORPUS_LOGS}/replay/select.log",
    benchmark:
        f"{CORPUS_LOGS}/replay/select.tsv"
    conda:
        ENVIRONMENT
    threads: cores("replay_select")
    resources:
        **asks("replay_select"),
        limits=CONFIG.limits.download.to_json(),
        dealt=f"{CORPUS}/.work/selection",
    params:
        settings=CONFIG.replay.to_json(),
        out=parent_of_output,
        version=step_version("replay.select"),
    shell:
        "python -m workflow_scripts.replay.select --metadata {input.metadata:q} --settings {params.settings:q} "
        "--limits {resources.limits:q} --dealt {resources.dealt:q} --beside {input.beside:q} --out-dir {params.out:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


use rule download as replay_download with:
    input:
        part=f"{REPLAY}/selection/part-{{part}}.parquet",
        served=SERVED_FROM,
        others=ancient(f"{CORPUS}/download/g000.named.parquet"),
        earlier=ancient(corpus_first),
    output:
        manifest=f"{REPLAY}/download/part-{{part}}/manifest.parquet",
        account=f"{REPLAY}/download/part-{{part}}/account.json",
    log:
        f"{CORPUS_LOGS}/replay/part-{{part}}.log",
    benchmark:
        f"{CORPUS_LOGS}/replay/part-{{part}}.tsv"
    localrule: INTERNET_HERE
    threads: cores("replay_download")
    resources:
        **asks("replay_download", internet=True),
        limits=CONFIG.limits.download.to_json(),
        served=SERVED,
        contact=CONTACT,
        ledger=LEDGER,
        share=replay_share,
    params:
        settings=CONFIG.replay.download.to_json(),
        work=f"{CORPUS}/.work/download",
        out=subpath(output.manifest, parent=True),
        version=step_version("download.fetch"),


rule replay_write:
    input:
        selection=expand(f"{REPLAY}/selection/part-{{part}}.parquet", part=REPLAY_PARTS),
        manifests=REPLAY_MANIFESTS,
    output:
        train=multiext(f"{REPLAY}/train/", "manifest.parquet", "index.parquet"),
        val=multiext(f"{REPLAY}/val/", "manifest.parquet", "index.parquet"),
        account=f"{REPLAY}/account.json",
    log:
        f"{CORPUS_LOGS}/replay/write.log",
    benchmark:
        f"{CORPUS_LOGS}/replay/write.tsv"
    conda:
        ENVIRONMENT
    threads: cores("replay_write")
    resources:
        **asks("replay_write"),
        ledger=LEDGER,
    params:
        settings=CONFIG.replay.to_json(),
        work=f"{CORPUS}/.work/replay",
        out=grandparent_of_output,
        version=step_version("replay.write"),
    shell:
        "python -m workflow_scripts.replay.write --selection {input.selection:q} --manifests {input.manifests:q} "
        "--ledger {resources.ledger:q} --settings {params.settings:q} --work {params.work:q} --out-dir {params.out:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
