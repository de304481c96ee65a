"""The embedded world: a miniature of everything that a real run gets from outside."""

JOB = job("world", CORPUS_LOGS, "world/make")


rule world:
    input:
        species=CONFIG.world.species or [],
    output:
        catalog=WORLD.catalog(),
        provenance=WORLD.provenance(),
        table=WORLD.table(),
        backbone=WORLD.backbone.each(file=["Taxon.tsv", "VernacularName.tsv", "meta.xml"]),
        replay=WORLD.replay(),
        benchmarks=WORLD.benchmark_labels.each(benchmark=["rare_species", "seen_species", "insects"]),
        planted=[WORLD.planted()] if CONFIG.world.planted else [],
        served=WORLD.served(),
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
        settings=CONFIG.world.to_json(),
        out=parent_of_output,
        version=step_version("world.make"),
    message:
        "world: make the embedded world"
    shell:
        "python -m workflow_scripts.world.make --settings {params.settings:q} --out {params.out:q} --jobs {threads} --log {log:q}"
