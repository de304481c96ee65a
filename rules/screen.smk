"""Run judges on the downloaded images, each on those that its `of` selects, in a fixed number of jobs."""

JOB = job("screen_classes", CORPUS_LOGS, "screen/{judge}/classes")


rule screen_classes:
    input:
        model=lambda w: MODELS.judge_files(w.judge),
        support=support_images,
    output:
        CORPUS.judge_classes(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        judge=one_of(JUDGES),
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        settings=lambda w: JUDGES[w.judge].judged_by(),
        model=lambda w: MODELS.judge_source(w.judge),
        version=step_version("screen.classes"),
    message:
        "screen: prepare the classes of judge {wildcards.judge}"
    shell:
        "python -m workflow_scripts.screen.classes --settings {params.settings:q} --model {params.model:q} "
        "--out {output:q} --threads {threads} --log {log:q}"


JOB = job("screen", CORPUS_LOGS, "screen/{judge}/{generation}/group-{group}")


# Findings are kept per image: another threshold, predicate or number of groups judges no image twice.
rule screen:
    input:
        unpack(judge_inputs),
        parts=lambda w: CORPUS.catalog_part.each(generation=[w.generation], part=parts_of_group(w)),
        manifests=lambda w: CORPUS.download_part.each(part=parts_of_group(w)),
        checked=ancient(CORPUS.gathered_loss()),
    output:
        account=CORPUS.findings_group(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        judge=one_of(JUDGES),
        group=r"\d{3}",
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
        limits=CONFIG.limits.screen.to_json(),
    params:
        judge=lambda w: JUDGES[w.judge].judge,
        options=judge_options,
        of=lambda w: JUDGES[w.judge].of,
        out=lambda w: CORPUS.screen(judge=w.judge),
        work=CORPUS.screen_work(),
        version=lambda w: step_version(f"screen.{JUDGES[w.judge].judge}"),
    message:
        "screen: run judge {wildcards.judge} on generation {wildcards.generation}, group {wildcards.group}"
    shell:
        "python -m workflow_scripts.screen.{params.judge} --name {wildcards.judge} --of {params.of:q} {params.options} "
        "--parts {input.parts:q} --manifests {input.manifests:q} --out-dir {params.out:q} --account {output.account:q} "
        "--work {params.work:q} --limits {resources.limits:q} --threads {threads} --log {log:q}"


JOB = job("screen_gather", CORPUS_LOGS, "screen/{judge}/{generation}")


rule screen_gather:
    input:
        groups=lambda w: CORPUS.findings_group.each(
            judge=[w.judge], generation=[w.generation], group=SCREEN_GROUPS[w.generation]
        ),
    output:
        findings=CORPUS.gathered_findings(),
        account=CORPUS.gathered_findings_account(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        judge=one_of(JUDGES),
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        findings=lambda w: CORPUS.findings.each(judge=[w.judge], part=GENERATIONS.parts[w.generation]),
        version=step_version("screen.gather"),
    message:
        "screen: gather the findings of judge {wildcards.judge} in generation {wildcards.generation}"
    shell:
        "python -m workflow_scripts.screen.gather --name {wildcards.judge} --groups {input.groups:q} "
        "--findings {params.findings:q} --out {output.findings:q} --account {output.account:q} "
        "--memory-mb {resources.mem_mb} --threads {threads} --log {log:q}"


JOB = job("screen_labelling", CORPUS_LOGS, "screen/{judge}/sample")


# A page of images of each class to label by hand. With labels, it shows precision and recall at each threshold.
rule screen_labelling:
    input:
        findings=lambda w: CORPUS.gathered_findings.each(judge=[w.judge], generation=GENERATIONS.names),
        gathered=CORPUS.gathered.each(generation=GENERATIONS.names),
        labels=lambda w: JUDGES[w.judge].labels or [],
    output:
        CORPUS.sample(),
    log:
        JOB.log,
    benchmark:
        JOB.benchmark
    wildcard_constraints:
        judge=one_of(JUDGES),
    conda:
        ENVIRONMENT
    threads: JOB.cores
    resources:
        **JOB.resources,
    params:
        downloads=CORPUS.downloads(),
        images=lambda w: JUDGES[w.judge].sample,
        labels=lambda w: option("labels", JUDGES[w.judge].labels),
        screened=option("refusals", CONFIG.refusals.rules and CONFIG.refusals.to_json()),
        version=step_version("screen.sample"),
    message:
        "screen: sample images to label for judge {wildcards.judge}"
    shell:
        "python -m workflow_scripts.screen.sample --name {wildcards.judge} --findings {input.findings:q} "
        "--gathered {input.gathered:q} --downloads {params.downloads:q} {params.labels} {params.screened} "
        "--count {params.images} --memory-mb {resources.mem_mb} --out {output:q} --log {log:q}"


localrules:
    screen_sample,


rule screen_sample:
    input:
        CORPUS.sample.each(judge=JUDGES),
    message:
        "screen: sample images to label"
