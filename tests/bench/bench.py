"""`make bench`: every row measured beside its peer in one run, into `results/bench.json`.

Rows are {name, value, unit, peer, peer_value, ratio} with ratio = value / peer_value. A bench is a function that
yields rows; add one to `BENCHES`. `bench.py NAME ...` runs those alone and keeps the last run's other rows.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import acquisition
import polars as pl
from bench_taxonomy import taxonomy
from catalogues import catalogues
from rows import Row, measured, printed_by

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
LOGS = (Path("logs/corpora/world"), Path("logs/runs/demo"), Path("logs/shared"))
RESULT = Path("results/bench.json")
REPEATS = 3


def demo_stages() -> Iterator[Row]:
    """Seconds that each stage's jobs took in the last `make demo`, beside the seconds of all jobs together."""
    seconds: dict[str, float] = {}
    for folder in LOGS:
        for log in folder.rglob("*.tsv"):
            stage = log.relative_to(folder).parts[0]
            seconds[stage] = seconds.get(stage, 0.0) + pl.read_csv(log, separator="\t")["s"].to_list()[-1]
    if not seconds:
        raise SystemExit("error: no demo has been run here; `make demo` first")
    total = sum(seconds.values())
    for stage, value in sorted(seconds.items()):
        yield Row(f"demo_seconds_{stage}", value, "s", "all jobs of the demo", total)


def dag_dry_run() -> Iterator[Row]:
    """Seconds of a dry run of the whole demo, beside a bare workflow of as many jobs in a chain of the same tool."""
    words = [SNAKEMAKE, "-n", "--forceall", "--quiet", "all", "-c2"]
    stats = subprocess.run([SNAKEMAKE, "-n", "--forceall", "-c2"], capture_output=True, text=True, check=True).stdout
    jobs = int(next(line.split()[1] for line in reversed(stats.splitlines()) if line.startswith("total")))
    with tempfile.TemporaryDirectory() as folder:
        snakefile = Path(folder) / "Snakefile"
        snakefile.write_text(
            f"rule all:\n    input: expand('o{{n}}', n=range({jobs}))\n"
            "rule one:\n    output: 'o{n}'\n    shell: 'touch {output}'\n"
        )
        bare = [SNAKEMAKE, "-n", "--quiet", "all", "-c2", "--snakefile", str(snakefile), "--directory", folder]
        ours, theirs = zip(*((measured(words).seconds, measured(bare).seconds) for _ in range(REPEATS)), strict=True)
    yield Row("dag_dry_run_seconds", min(ours), "s", f"bare workflow of {jobs} jobs", min(theirs))


def dag_dry_run_recipes() -> Iterator[Row]:
    """Seconds and memory of planning a whole recipe on a machine with no data, beside a dry run of the demo."""
    demo = measured([SNAKEMAKE, "-n", "--forceall", "--quiet", "all", "-c2"])
    for recipe in ("bioclip", "bioclip2"):
        words = [SNAKEMAKE, "-n", "--quiet", "all", "-c2", "--configfile", f"config/{recipe}.yaml"]
        ours = measured(words)
        yield Row(f"dag_dry_run_seconds_{recipe}", ours.seconds, "s", "the demo", demo.seconds)
        yield Row(f"dag_dry_run_peak_mb_{recipe}", ours.peak_mb, "MiB", "the demo", demo.peak_mb)


def downloads() -> Iterator[Row]:
    """Images a second from a friendly host, and the memory of a part."""
    yield from (Row(*values) for values in acquisition.download_rate())


def evaluation() -> Iterator[Row]:
    """The rows of `evaluation.py`, each bench in a process of its own, so that its memory is its own."""
    for name in ("few_shot", "zero_shot_weights", "embedding", "category_discovery", "newt_searches"):
        yield from printed_rows("evaluation.py", name, threads=2)


def loading() -> Iterator[Row]:
    """The trainer's loader on one core, beside open_clip_train's and bare decoding; resuming within a large epoch."""
    yield from printed_rows("loading.py", threads=1)


def printed_rows(script: str, *words: str, threads: int) -> Iterator[Row]:
    """The rows that a script beside this one prints."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *words]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": str(threads)}
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    for row in json.loads(printed.splitlines()[-1]):
        yield Row(*row)


def training() -> Iterator[Row]:
    """The training loop beside the bare step, in a process of its own; the last demo's waiting for data."""
    for name in ("step_overhead", "data_wait_share"):
        words = [sys.executable, str(Path(__file__).with_name("training.py")), name]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        printed = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        for row in json.loads(printed.splitlines()[-1]):
            yield Row(*row)


def curation() -> Iterator[Row]:
    """Verdicts, leakage and duplicates: the rows of `curation.py`."""
    yield from _rows_of("curation.py", ("decide", "leakage", "planted", "dedup"))


def shards() -> Iterator[Row]:
    """Images and shards: the rows of `sharding.py`."""
    yield from _rows_of("sharding.py", ("rates", "epoch"))


def _rows_of(script: str, names: Sequence[str]) -> Iterator[Row]:
    for name in names:
        yield from (Row(*values) for values in printed_by(Path(__file__).with_name(script), name))


BENCHES: tuple[Callable[[], Iterator[Row]], ...] = (
    demo_stages,
    dag_dry_run,
    dag_dry_run_recipes,
    downloads,
    catalogues,
    taxonomy,
    curation,
    shards,
    training,
    evaluation,
    loading,
)


def main(wanted: Sequence[str]) -> None:
    """Run the benches, print a table, write the JSON."""
    rows = [row for bench in BENCHES if not wanted or bench.__name__ in wanted for row in bench()]
    width = max(len(row.name) for row in rows)
    for row in rows:
        values = f"{row.value:10.3f} {row.unit:<4} {row.peer_value:10.3f}  x{row.ratio:.3f}"
        sys.stdout.write(f"{row.name:<{width}}  {values}  {row.peer}\n")
    made = {row.name for row in rows}
    kept = json.loads(RESULT.read_text()) if wanted and RESULT.exists() else []
    records = [record for record in kept if record["name"] not in made]
    records += [asdict(row) | {"ratio": row.ratio} for row in rows]
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
