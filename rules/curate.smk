"""A verdict for every image of the catalogue."""

ATTRIBUTIONS = expand(f"{CORPUS}/curate/{{generation}}/attribution.parquet", generation=GENERATIONS)


rule curate_leakage:
    input:
        downloads=f"{CORPUS}/download/{{generation}}.parquet",
        benchmarks=clean_of_tables,
    output:
        leakage=f"{CORPUS}/curate/{{generation}}/leakage.parquet",
        account=f"{CORPUS}/curate/{{generation}}/leakage.account.json",
    log:
        f"{CORPUS_LOGS}/curate/{{generation}}.leakage.log",
    benchmark:
        f"{CORPUS_LOGS}/curate/{{generation}}.leakage.tsv"
    conda:
        ENVIRONMENT
    threads: cores("curate_leakage")
    resources:
        **asks("curate_leakage"),
    params:
        benchmarks=clean_of_options,
        version=step_version("curate.leakage"),
    shell:
        "python -m workflow_scripts.curate.leakage --downloads {input.downloads:q} --benchmarks {params.benchmarks:q} "
        "--out {output.leakage:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


rule curate:
    input:
        catalog=generation_catalog,
        downloads=f"{CORPUS}/download/{{generation}}.parquet",
        labels=f"{CORPUS}/taxonomy/labels.parquet",
        older=older_verdicts,
        leakage=f"{CORPUS}/curate/{{generation}}/leakage.parquet",
        held_out=held_out_tables,
        outside=CONFIG.curate.verdicts,
        ledger=ledger,
    output:
        verdicts=f"{CORPUS}/curate/{{generation}}/verdicts.parquet",
        account=f"{CORPUS}/curate/{{generation}}/account.json",
    log:
        f"{CORPUS_LOGS}/curate/{{generation}}.log",
    benchmark:
        f"{CORPUS_LOGS}/curate/{{generation}}.tsv"
    conda:
        ENVIRONMENT
    threads: cores("curate")
    resources:
        **asks("curate"),
    params:
        settings=CONFIG.curate.to_json(),
        version=step_version("curate.decide"),
    shell:
        "python -m workflow_scripts.curate.decide --catalog {input.catalog:q} --downloads {input.downloads:q} "
        "--labels {input.labels:q} --older {input.older:q} --leakage {input.leakage:q} --held-out {input.held_out:q} "
        "--outside {input.outside:q} --ledger {input.ledger:q} --settings {params.settings:q} "
        "--out {output.verdicts:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


# Whom the corpus owes its images to; no other step needs it.
rule curate_attribution:
    input:
        catalog=generation_catalog,
        verdicts=f"{CORPUS}/curate/{{generation}}/verdicts.parquet",
    output:
        f"{CORPUS}/curate/{{generation}}/attribution.parquet",
    log:
        f"{CORPUS_LOGS}/curate/{{generation}}.attribution.log",
    benchmark:
        f"{CORPUS_LOGS}/curate/{{generation}}.attribution.tsv"
    conda:
        ENVIRONMENT
    threads: cores("curate_attribution")
    resources:
        **asks("curate_attribution"),
    params:
        settings=CONFIG.attribution.to_json(),
        version=step_version("curate.attribute"),
    shell:
        "python -m workflow_scripts.curate.attribute --catalog {input.catalog:q} --verdicts {input.verdicts:q} "
        "--settings {params.settings:q} --out {output:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
