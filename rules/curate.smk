"""Decide on every image of the catalog: kept or not, why, and in which split."""

CLEAN_OF = {name: f"{BENCHMARK_TABLES[name]}/images.parquet" for name in CONFIG.curate.clean_of}

JOB = job("curate_leakage", CORPUS_LOGS, "curate/{generation}.leakage")


rule curate_leakage:
    input:
        downloads=CORPUS.gathered(),
        benchmarks=CLEAN_OF.values(),
        checked=ancient(CORPUS.gathered_loss()),
    output:
        leakage=CORPUS.leakage(),
        account=CORPUS.leakage_account(),
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
        benchmarks=pairs(CLEAN_OF),
        version=step_version("curate.leakage"),
    message:
        "curate: search generation {wildcards.generation} for benchmark images"
    shell:
        "python -m workflow_scripts.curate.leakage --downloads {input.downloads:q} --benchmarks {params.benchmarks:q} "
        "--out {output.leakage:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("curate", CORPUS_LOGS, "curate/{generation}")


rule curate:
    input:
        catalog=lambda w: GENERATIONS.catalog(CORPUS, [w.generation]),
        downloads=CORPUS.gathered(),
        labels=CORPUS.labels(),
        older=lambda w: CORPUS.verdicts.each(generation=GENERATIONS.older(w.generation)),
        leakage=CORPUS.leakage(),
        held_out=[f"{BENCHMARK_TABLES[name]}/images.parquet" for name in CONFIG.curate.hold_out_species_of],
        outside=CONFIG.curate.verdicts,
        findings=lambda w: CORPUS.gathered_findings.each(judge=CONFIG.screen, generation=[w.generation]),
        ledger=lambda w: LEDGER if Path(LEDGER).exists() else [],
        checked=ancient(CORPUS.gathered_loss()),
    output:
        verdicts=CORPUS.verdicts(),
        account=CORPUS.verdicts_account(),
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
        settings=CONFIG.curate.to_json(),
        screened=option("refusals", CONFIG.refusals.rules and CONFIG.refusals.to_json()),
        version=step_version("curate.decide"),
    message:
        "curate: decide which images of generation {wildcards.generation} are kept"
    shell:
        "python -m workflow_scripts.curate.decide --catalog {input.catalog:q} --downloads {input.downloads:q} "
        "--labels {input.labels:q} --older {input.older:q} --leakage {input.leakage:q} --held-out {input.held_out:q} "
        "--outside {input.outside:q} --findings {input.findings:q} {params.screened} --ledger {input.ledger:q} "
        "--settings {params.settings:q} "
        "--out {output.verdicts:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("curate_loss", CORPUS_LOGS, "curate/{generation}.loss")


# Stops before the shards if too many images of a source have no resolved name.
rule curate_loss:
    input:
        account=CORPUS.verdicts_account(),
        labels=CORPUS.labels(),
    output:
        loss=CORPUS.verdicts_loss(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    localrule: True
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        max_loss=CONFIG.max_loss.to_json(),
    message:
        "curate: check the losses of generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.curate.loss --account {input.account:q} --labels {input.labels:q} "
        "--max-loss {resources.max_loss:q} --out {output.loss:q} --log {log:q}"


JOB = job("curate_attribution", CORPUS_LOGS, "curate/{generation}.attribution")


# Source, creator and licence of each kept image.
rule curate_attribution:
    input:
        catalog=lambda w: GENERATIONS.catalog(CORPUS, [w.generation]),
        verdicts=CORPUS.verdicts(),
    output:
        CORPUS.attribution(),
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
        settings=CONFIG.attribution.to_json(),
        version=step_version("curate.attribute"),
    message:
        "curate: list licences and creators of generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.curate.attribute --catalog {input.catalog:q} --verdicts {input.verdicts:q} "
        "--settings {params.settings:q} --out {output:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"
