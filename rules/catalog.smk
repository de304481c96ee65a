"""Metadata of every source into one catalogue, in parts to download."""

FETCHED_SOURCES = {
    file.path(SHARED): file
    for generation in GENERATIONS
    for source in sources_of(generation).values()
    for file in source.inputs.values()
    if not isinstance(file, str)
}


# Needs the internet.
rule catalog_fetch:
    output:
        file=f"{SHARED}/sources/{{identity}}/{{file}}",
        record=f"{SHARED}/sources/{{identity}}/{{file}}.fetched.json",
    log:
        f"{SHARED_LOGS}/sources/{{identity}}/{{file}}.log",
    benchmark:
        f"{SHARED_LOGS}/sources/{{identity}}/{{file}}.tsv"
    wildcard_constraints:
        file=one_of(re.escape(Path(path).name) for path in FETCHED_SOURCES),
        identity=r"[0-9a-f]{8}",
    localrule: INTERNET_HERE
    conda:
        ENVIRONMENT
    threads: cores("catalog_fetch")
    resources:
        **asks("catalog_fetch", internet=True),
        gbif_api=SITE.gbif_api,
    params:
        remote=remote_file,
        version=step_version("catalog.fetch"),
    shell:
        "HF_HUB_OFFLINE=0 python -m workflow_scripts.catalog.fetch --remote {params.remote:q} --out {output.file:q} "
        "--record {output.record:q} --gbif-api {resources.gbif_api:q} --log {log:q}"


rule catalog_source:
    input:
        unpack(source_inputs),
    output:
        records=f"{CORPUS}/catalog/{{generation}}/sources/{{source}}.parquet",
        account=f"{CORPUS}/catalog/{{generation}}/sources/{{source}}.account.json",
    log:
        f"{CORPUS_LOGS}/catalog/{{generation}}/{{source}}.log",
    benchmark:
        f"{CORPUS_LOGS}/catalog/{{generation}}/{{source}}.tsv"
    conda:
        ENVIRONMENT
    threads: cores("catalog_source")
    resources:
        **asks("catalog_source"),
    params:
        reader=source_reader,
        options=source_options,
        settings=source_settings,
        version=source_version,
    shell:
        "python -m workflow_scripts.catalog.{params.reader} {params.options} --settings {params.settings:q} "
        "--out {output.records:q} --account {output.account:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


# One rule a generation: its parts are as many outputs, known from the config.
for generation in GENERATIONS:

    rule:
        name:
            f"catalog_merge_{generation}"
        input:
            sources=expand(
                f"{CORPUS}/catalog/{generation}/sources/{{source}}.parquet",
                source=sources_of(generation),
            ),
            older=[part for earlier in GENERATIONS[: number_of(generation)] for part in catalog_parts(earlier)],
        output:
            parts=catalog_parts(generation),
            labels=f"{CORPUS}/catalog/{generation}/labels.parquet",
            hosts=f"{CORPUS}/catalog/{generation}/hosts.parquet",
            account=f"{CORPUS}/catalog/{generation}/account.json",
        log:
            f"{CORPUS_LOGS}/catalog/{generation}/merge.log",
        benchmark:
            f"{CORPUS_LOGS}/catalog/{generation}/merge.tsv"
        conda:
            ENVIRONMENT
        threads: cores("catalog_merge")
        resources:
            **asks("catalog_merge"),
            limits=CONFIG.limits.download.to_json(),
            dealt=f"{CORPUS}/.work/catalog/{generation}",
        params:
            number=number_of(generation),
            parts=len(parts_of(generation)),
            first=first_part(generation),
            out=parent_of_output,
            version=step_version("catalog.merge"),
        shell:
            "python -m workflow_scripts.catalog.merge --sources {input.sources:q} --older {input.older:q} "
            "--generation {params.number} --parts {params.parts} --first-part {params.first} --out-dir {params.out:q} "
            "--limits {resources.limits:q} --dealt {resources.dealt:q} --memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
