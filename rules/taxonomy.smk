"""Backbones into DuckDB, and every provider's label resolved against them."""

BACKBONES = {backbone.name: backbone for backbone in CONFIG.taxonomy.backbones}
BACKBONE_FILES = {name: f"{backbone.folder(SHARED)}/backbone.duckdb" for name, backbone in BACKBONES.items()}
FETCHED = [archive_path(backbone) for backbone in BACKBONES.values() if backbone.url]
OVERRIDES = CONFIG.taxonomy.overrides or []


# Needs the internet.
rule taxonomy_fetch:
    output:
        f"{SHARED}/backbones/{{name}}-{{identity}}/archive.zip",
    log:
        f"{SHARED_LOGS}/taxonomy/fetch-{{name}}-{{identity}}.log",
    benchmark:
        f"{SHARED_LOGS}/taxonomy/fetch-{{name}}-{{identity}}.tsv"
    wildcard_constraints:
        name=one_of(name for name, backbone in BACKBONES.items() if backbone.url),
        identity=r"[0-9a-f]{8}",
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: cores("taxonomy_fetch")
    resources:
        **asks("taxonomy_fetch", internet=True),
    params:
        release=backbone_release,
        version=step_version("taxonomy.fetch"),
    shell:
        "python -m workflow_scripts.taxonomy.fetch {params.release} --out {output:q} --log {log:q}"


rule taxonomy_backbone:
    input:
        backbone_archive,
    output:
        database=f"{SHARED}/backbones/{{name}}-{{identity}}/backbone.duckdb",
        summary=f"{SHARED}/backbones/{{name}}-{{identity}}/summary.json",
    log:
        f"{SHARED_LOGS}/taxonomy/{{name}}-{{identity}}.log",
    benchmark:
        f"{SHARED_LOGS}/taxonomy/{{name}}-{{identity}}.tsv"
    wildcard_constraints:
        name=one_of(BACKBONES),
        identity=r"[0-9a-f]{8}",
    conda:
        ENVIRONMENT
    threads: cores("taxonomy_backbone")
    resources:
        **asks("taxonomy_backbone"),
    params:
        archive=backbone_path,
        reader=backbone_reader,
        version=step_version("taxonomy.backbone"),
    shell:
        "python -m workflow_scripts.taxonomy.backbone --name {wildcards.name} --archive {params.archive:q} "
        "--reader {params.reader} --out {output.database:q} --summary {output.summary:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


rule taxonomy_resolve:
    input:
        labels=expand(f"{CORPUS}/catalog/{{generation}}/labels.parquet", generation=GENERATIONS),
        backbones=list(BACKBONE_FILES.values()),
        overrides=OVERRIDES,
    output:
        labels=f"{CORPUS}/taxonomy/labels.parquet",
        account=f"{CORPUS}/taxonomy/account.json",
    log:
        f"{CORPUS_LOGS}/taxonomy/resolve.log",
    benchmark:
        f"{CORPUS_LOGS}/taxonomy/resolve.tsv"
    conda:
        ENVIRONMENT
    threads: cores("taxonomy_resolve")
    resources:
        **asks("taxonomy_resolve"),
    params:
        backbones=["--backbones", *pairs(BACKBONE_FILES)] if BACKBONE_FILES else [],
        overrides=option("overrides", OVERRIDES),
        settings=CONFIG.taxonomy.to_json(),
        version=step_version("taxonomy.resolve"),
    shell:
        "python -m workflow_scripts.taxonomy.resolve --labels {input.labels:q} {params.backbones:q} "
        "{params.overrides} --settings {params.settings:q} --out {output.labels:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


rule taxonomy_stats:
    input:
        labels=f"{CORPUS}/taxonomy/labels.parquet",
        catalog=[part for generation in GENERATIONS for part in catalog_parts(generation)],
    output:
        f"{CORPUS}/taxonomy/stats.json",
    log:
        f"{CORPUS_LOGS}/taxonomy/stats.log",
    benchmark:
        f"{CORPUS_LOGS}/taxonomy/stats.tsv"
    conda:
        ENVIRONMENT
    threads: cores("taxonomy_stats")
    resources:
        **asks("taxonomy_stats"),
    params:
        version=step_version("taxonomy.stats"),
    shell:
        "python -m workflow_scripts.taxonomy.stats --labels {input.labels:q} --catalog {input.catalog:q} --out {output:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
