"""A verdict for every image of the catalogue."""


rule curate:
    input:
        catalog=generation_catalog,
        downloads=f"{CORPUS}/download/{{generation}}.parquet",
        labels=f"{CORPUS}/taxonomy/labels.parquet",
        older=older_verdicts,
    output:
        verdicts=f"{CORPUS}/curate/{{generation}}/verdicts.parquet",
        account=f"{CORPUS}/curate/{{generation}}/account.json",
    log:
        f"{CORPUS_LOGS}/curate/{{generation}}.log",
    benchmark:
        f"{CORPUS_LOGS}/curate/{{generation}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=SITE.memory_mb,
    params:
        settings=CONFIG.curate.to_json(),
        code=code("curate.decide"),
    shell:
        "python -m workflow_scripts.curate.decide --catalog {input.catalog} --downloads {input.downloads} "
        "--labels {input.labels} --older {input.older} --settings {params.settings:q} "
        "--out {output.verdicts} --account {output.account} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log}"
