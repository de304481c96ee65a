"""`make bench`: every row measured beside its peer in one run, into `results/bench.json`.

Rows are {bench, name, value, unit, peer, peer_value, ratio} with ratio = value / peer_value, printed and written as
they come. A bench that fails leaves a row {bench, name, error}, and the command ends with status 1. A bench is a
function that yields rows; add one to `BENCHES`. `bench.py NAME ...` runs those alone and keeps the others' last rows.
With SMALL=1 in the environment, sizes are tiny and the rows go to `results/bench-small.json`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import acquisition
import polars as pl
from bench_taxonomy import taxonomy
from catalogues import catalogues
from rows import SMALL, TORCH_THREADS, Row, measured, printed_by, sized

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
LOGS = (Path("logs/corpora/world"), Path("logs/runs/demo"), Path("logs/shared"))
RESULT = Path("results/bench-small.json" if SMALL else "results/bench.json")
REPEATS = sized(3, 1)
RECIPES = sized(("bioclip", "bioclip2"), ("finetune",))


def demo_stages() -> Iterator[Row]:
    """Seconds that each stage's jobs took in the last `make demo`, beside the seconds of all jobs together."""
    seconds: dict[str, float] = {}
    for folder in LOGS:
        for log in folder.rglob("*.tsv"):
            stage = log.relative_to(folder).parts[0]
            seconds[stage] = seconds.get(stage, 0.0) + pl.read_csv(log, separator="\t")["s"].to_list()[-1]
    if not seconds:
        raise RuntimeError("no demo has been run here; run `make demo` first")
    total = sum(seconds.values())
    for stage, value in sorted(seconds.items()):
        yield Row(f"demo_seconds_{stage}", value, "s", "all jobs of the demo", total)


def dag_dry_run() -> Iterator[Row]:
    """Seconds of a dry run of the demo, compared with a bare Snakemake workflow of as many jobs in a chain."""
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
    """Seconds and memory of planning each recipe without data, compared with a dry run of the demo."""
    demo = measured([SNAKEMAKE, "-n", "--forceall", "--quiet", "all", "-c2"])
    for recipe in RECIPES:
        words = [SNAKEMAKE, "-n", "--quiet", "all", "-c2", "--configfile", f"config/{recipe}.yaml"]
        ours = measured(words)
        yield Row(f"dag_dry_run_seconds_{recipe}", ours.seconds, "s", "the demo", demo.seconds)
        yield Row(f"dag_dry_run_peak_mb_{recipe}", ours.peak_mb, "MiB", "the demo", demo.peak_mb)


def downloads() -> Iterator[Row]:
    """Images per second from a fast host, and the memory of a part."""
    yield from (
        Row(*values) for measured in (acquisition.download_rate, acquisition.turned_rate) for values in measured()
    )


def evaluation() -> Iterator[Row]:
    """The rows of `evaluation.py`."""
    names = ("few_shot", "zero_shot_weights", "embedding", "category_discovery", "newt_searches")
    yield from _rows_of("evaluation.py", names, threads=TORCH_THREADS)


def loading() -> Iterator[Row]:
    """The trainer's loader on one core, beside open_clip_train's and bare decoding; resuming within a large epoch."""
    yield from _rows_of("loading.py", ("rates", "resuming"), threads=1)


def training() -> Iterator[Row]:
    """The training loop compared with a bare step; the last demo's wait for data."""
    yield from _rows_of("training.py", ("step_overhead", "data_wait_share"))


def curation() -> Iterator[Row]:
    """Verdicts, leakage and duplicates: the rows of `curation.py`."""
    yield from _rows_of("curation.py", ("decide", "leakage", "planted", "dedup"))


def screening() -> Iterator[Row]:
    """Images a second of judges: the rows of `screening.py`."""
    yield from _rows_of("screening.py", ("clip", "faces", "animals"), threads=TORCH_THREADS)


def startup() -> Iterator[Row]:
    """The commands' start-up, compared with bare Python with duckdb and pyarrow."""
    yield from _rows_of("startup.py", ("commands",))


def shards() -> Iterator[Row]:
    """Images and shards: the rows of `sharding.py`."""
    yield from _rows_of("sharding.py", ("rates", "epoch"))


def _rows_of(script: str, names: Sequence[str], threads: int | None = None) -> Iterator[Row]:
    """The rows of a script's benches, each in a separate process; all in one if sizes are tiny."""
    for name in sized(names, (",".join(names),)):
        yield from (Row(*values) for values in printed_by(Path(__file__).with_name(script), name, threads=threads))


BENCHES: tuple[Callable[[], Iterator[Row]], ...] = (
    demo_stages,
    startup,
    dag_dry_run,
    dag_dry_run_recipes,
    downloads,
    catalogues,
    taxonomy,
    curation,
    screening,
    shards,
    training,
    evaluation,
    loading,
)


def main(wanted: Sequence[str]) -> int:
    """Run the benches, print and write each row as it comes; 1 if one failed."""
    known = {bench.__name__: bench for bench in BENCHES}
    if unknown := [name for name in wanted if name not in known]:
        sys.stderr.write(f"error: no bench {unknown[0]}; there are {', '.join(known)}\n")
        return 2
    kept = json.loads(RESULT.read_text()) if wanted and RESULT.exists() else []
    records = [record for record in kept if record.get("bench") not in wanted]

    def add(record: dict[str, Any], line: str) -> None:
        records.append(record)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(records, indent=2) + "\n")

    failed = False
    for name in wanted or known:
        try:
            for row in known[name]():
                values = f"{row.value:10.3f} {row.unit:<4} {row.peer_value:10.3f}  x{row.ratio:.3f}"
                add({"bench": name} | asdict(row) | {"ratio": row.ratio}, f"{row.name:<40}  {values}  {row.peer}")
        except Exception as error:
            failed = True
            add({"bench": name, "name": name, "error": str(error)}, f"{name:<40}  failed: {error}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
