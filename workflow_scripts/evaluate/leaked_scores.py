"""Measure how leakage affects a benchmark's scores: top-1 with and without the images in the training set.

For benchmarks added after a corpus was built, whose images it may therefore contain; the corpus is not rebuilt.
"""

import sys
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json
from workflow_scripts.contracts import LEAKAGE, PREDICTIONS, VERDICTS

MEASURES = ("top1", "top1_without", "top1_leaked", "images")


def leaked_scores(
    *,
    benchmark: str,
    leakage: tuple[Path, ...],
    verdicts: tuple[Path, ...],
    predictions: tuple[Path, ...] = (),
    out: Path,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write the number of leaked benchmark images, and each model's zero-shot top-1 over all images and without them.

    Args:
        benchmark: the benchmark's name.
        leakage: corpus images that match benchmark images, one table per generation.
        verdicts: the verdicts of all generations; only kept images count as leaked.
        predictions: files named MODEL/BENCHMARK.predictions.parquet.
        out: the JSON report to write.
        memory_mb: memory limit of DuckDB, MiB.
        threads: threads of DuckDB.

    Raises:
        InputError: a table is missing or breaks its contract, or the predictions lack a leaked image.
    """
    with tables.connect(memory_mb, threads) as connection:
        tables.read(connection, leakage, LEAKAGE, "leakage")
        tables.read(connection, verdicts, VERDICTS, "verdicts")
        connection.execute(
            "CREATE TEMP TABLE leaked AS SELECT DISTINCT unnest(positions) AS position FROM leakage "
            "SEMI JOIN (SELECT uuid FROM verdicts WHERE keep) AS kept USING (uuid) "
            f"WHERE benchmark = {tables.literal(benchmark)}"
        )
        leaked_images = tables.scalar(connection, "SELECT count(*) FROM leaked")
        report = {"benchmark": benchmark, "leaked_images": leaked_images, "models": {}}
        for path in predictions:
            tables.read(connection, path, PREDICTIONS, "predictions")
            lost = connection.execute("SELECT position FROM leaked ANTI JOIN predictions USING (position)").fetchone()
            if lost is not None:
                raise InputError(
                    f"{path}: no prediction for image {lost[0]} of the benchmark; run its evaluation again"
                )
            row = tables.one_row(
                connection,
                "SELECT avg(correct::INT), avg(correct::INT) FILTER (leaked.position IS NULL), "
                "avg(correct::INT) FILTER (leaked.position IS NOT NULL), count(*) "
                "FROM predictions LEFT JOIN leaked USING (position)",
            )
            report["models"][path.parent.name] = dict(zip(MEASURES, row, strict=True))
    write_json(out, report)
    sys.stdout.write(f"{benchmark}: {report['leaked_images']} of its images are in the corpus; report: {out}\n")


if __name__ == "__main__":
    run(leaked_scores)
