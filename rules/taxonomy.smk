"""Load backbones into DuckDB and resolve every provider label against them."""

BACKBONES = {backbone.name: backbone for backbone in CONFIG.taxonomy.backbones}
BACKBONE_FILES = {name: f"{backbone.folder(str(SHARED))}/backbone.duckdb" for name, backbone in BACKBONES.items()}


FETCHED = [backbone.archive(str(SHARED)) for backbone in BACKBONES.values() if backbone.url]


JOB = job("taxonomy_fetch", SHARED_LOGS, "taxonomy/fetch-{name}-{identity}", internet=True)


# Needs the internet.
rule taxonomy_fetch:
    output:
        SHARED.backbone_archive(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        name=one_of(name for name, backbone in BACKBONES.items() if backbone.url),
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        url=lambda w: BACKBONES[w.name].url,
        sha256=lambda w: option("sha256", BACKBONES[w.name].sha256),
        version=step_version("taxonomy.fetch"),
    message:
        "taxonomy: fetch backbone {wildcards.name}"
    shell:
        "python -m workflow_scripts.taxonomy.fetch --url {params.url:q} {params.sha256} --out {output:q} --log {log:q}"


JOB = job("taxonomy_backbone", SHARED_LOGS, "taxonomy/{name}-{identity}")


rule taxonomy_backbone:
    input:
        lambda w: BACKBONES[w.name].watched(str(SHARED), str(WORLD)),
    output:
        database=SHARED.backbone(),
        summary=SHARED.backbone_summary(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        name=one_of(BACKBONES),
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        archive=lambda w: BACKBONES[w.name].archive(str(SHARED)),
        reader=lambda w: BACKBONES[w.name].reader,
        version=step_version("taxonomy.backbone"),
    message:
        "taxonomy: build backbone {wildcards.name}"
    shell:
        "python -m workflow_scripts.taxonomy.backbone --name {wildcards.name} --archive {params.archive:q} "
        "--reader {params.reader} --out {output.database:q} --summary {output.summary:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("taxonomy_resolve", CORPUS_LOGS, "taxonomy/resolve")


rule taxonomy_resolve:
    input:
        labels=CORPUS.catalog_labels.each(generation=GENERATIONS.names),
        backbones=list(BACKBONE_FILES.values()),
        overrides=CONFIG.taxonomy.overrides or [],
    output:
        labels=CORPUS.labels(),
        account=CORPUS.labels_account(),
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
        backbones=option("backbones", *pairs(BACKBONE_FILES)),
        overrides=option("overrides", CONFIG.taxonomy.overrides),
        settings=CONFIG.taxonomy.to_json(),
        version=step_version("taxonomy.resolve"),
    message:
        "taxonomy: resolve the labels"
    shell:
        "python -m workflow_scripts.taxonomy.resolve --labels {input.labels:q} {params.backbones} "
        "{params.overrides} --settings {params.settings:q} --out {output.labels:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("taxonomy_stats", CORPUS_LOGS, "taxonomy/stats")


rule taxonomy_stats:
    input:
        labels=CORPUS.labels(),
        catalog=GENERATIONS.catalog(CORPUS),
    output:
        CORPUS.labels_stats(),
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
        version=step_version("taxonomy.stats"),
    message:
        "taxonomy: count how the labels were resolved"
    shell:
        "python -m workflow_scripts.taxonomy.stats --labels {input.labels:q} --catalog {input.catalog:q} --out {output:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
