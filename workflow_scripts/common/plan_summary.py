"""The last lines of a dry run: jobs, images, bytes and GPU hours of the plan.

Images are counted in the accounts of the catalog, which stays fast with thousands of parts. Bytes and hours are
estimated from the same table as in `snakemake estimate`, which counts by host and by stage.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.root import Config
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.common.unit_costs import BYTES_SERVED, COSTS, HOUR, TRAINING, cost_of, read_costs, size_text

SHOWN_RULES = 8


def jobs_line(planned: Mapping[str, int]) -> str:
    """The line with the number of jobs by rule."""
    jobs = Counter(planned)
    most = sorted(jobs.items(), key=lambda one: (-one[1], one[0]))[:SHOWN_RULES]
    others = len(jobs) - len(most)
    named = ", ".join(f"{rule} {count:,}" for rule, count in most)
    rest = f", and {jobs.total() - sum(count for _, count in most):,} jobs of {others} other rules" if others else ""
    return f"plan: {jobs.total():,} jobs: {named}{rest}"


def summary(
    planned: Mapping[str, int], parts: Iterable[str], config: Config, corpus: Corpus, generations: Generations
) -> Iterator[str]:
    """Lines on the images, bytes and GPU hours of a plan.

    Args:
        planned: number of jobs by rule.
        parts: the parts to download.
        config: the recipe.
        corpus: its corpus.
        generations: the corpus's generations.
    """
    images = images_by_generation(corpus, generations.names)
    costs = read_costs(COSTS)
    if to_fetch := Counter(map(generations.of_part, parts)):
        if to_fetch.keys() <= images.keys():
            shares = {name: of_it / len(generations.parts[name]) for name, of_it in to_fetch.items()}
            count = sum(images[name] * share for name, share in shares.items())
            local = sum(_local_images(corpus, name, images[name]) * share for name, share in shares.items())
            size = size_text(count * (cost_of("download", costs) or costs[0]).kept_bytes)
            from_disk = f"about {local:,.0f} to read from disk"
            if local == count:
                yield f"images: {from_disk}: {size} of copies"
            else:
                yield (
                    f"images: about {count - local:,.0f} to download{f', {from_disk}' if local else ''}: "
                    f"{size_text((count - local) * BYTES_SERVED)} of traffic, {size} on disk; "
                    f"`{snakemake('estimate')}` counts by host"
                )
        else:
            yield f"images: unknown until the catalog exists; `{snakemake('estimate')}` makes only the catalog"
    if planned.get("train_run") and not config.train.allow_cpu:
        yield _gpu_hours(config, images)


def images_by_generation(corpus: Corpus, names: Sequence[str]) -> dict[str, int]:
    """Number of images by generation, of the generations that have a catalog."""
    found = {}
    for name in names:
        path = Path(corpus.catalog_account(generation=name))
        if path.exists():
            try:
                found[name] = read_account(path).kept
            except InputError:
                continue
    return found


def _local_images(corpus: Corpus, generation: str, images: int) -> int:
    """Number of a generation's images that are files, which the table of hosts leaves out."""
    path = Path(corpus.catalog_hosts(generation=generation))
    if not path.exists():
        return 0
    return images - sum(pq.read_table(path, columns=["images"])["images"].to_pylist())


def training_hours(config: Config, images: Mapping[str, int]) -> float | None:
    """GPU hours of a training; None unless the architecture's cost and all catalogs are known."""
    cost = cost_of(f"{TRAINING}{config.model.architecture}", read_costs(COSTS))
    if cost is None or len(images) < max(len(config.generations), 1):
        return None
    return cost.seconds * sum(images.values()) * config.train.epochs / 1e6 / HOUR


def _gpu_hours(config: Config, images: Mapping[str, int]) -> str:
    """The line about the GPU hours of training."""
    architecture = config.model.architecture
    name = architecture if isinstance(architecture, str) else "this architecture"
    cost = cost_of(TRAINING + name, read_costs(COSTS))
    if cost is None:
        return f"GPU hours: unknown for {name}; see the progress of training once it runs"
    hours = training_hours(config, images)
    if hours is None:
        return "GPU hours: unknown until the catalog exists"
    return f"GPU hours: about {hours:,.3g} to train {name} ({cost.source})"
