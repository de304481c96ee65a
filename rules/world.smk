"""The embedded world: everything that comes from outside in a real run, in small."""

WORLD_BENCHMARKS = ["rare_species", "seen_species", "insects"]


rule world:
    input:
        species=CONFIG.world.species or [],
    output:
        catalog=f"{WORLD}/catalog.parquet",
        provenance=f"{WORLD}/provenance.parquet",
        table=f"{WORLD}/table.csv",
        taxa=f"{WORLD}/backbone/Taxon.tsv",
        names=f"{WORLD}/backbone/VernacularName.tsv",
        meta=f"{WORLD}/backbone/meta.xml",
        replay=f"{WORLD}/replay.parquet",
        benchmarks=expand(f"{WORLD}/benchmarks/{{name}}/labels.csv", name=WORLD_BENCHMARKS),
        served=f"{WORLD}/world.json",
    log:
        f"{CORPUS_LOGS}/world/make.log",
    benchmark:
        f"{CORPUS_LOGS}/world/make.tsv"
    conda:
        ENVIRONMENT
    threads: cores("world")
    resources:
        **asks("world"),
    params:
        settings=CONFIG.world.to_json(),
        out=parent_of_output,
        version=step_version("world.make"),
    shell:
        "python -m workflow_scripts.world.make --settings {params.settings:q} --out {params.out:q} --jobs {threads} --log {log:q}"
