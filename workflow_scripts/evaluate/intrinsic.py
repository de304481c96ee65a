"""Measure how well distances between image features follow the taxonomy, independently of any task."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from workflow_scripts.common.cli import run
from workflow_scripts.common.documents import write_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.resampling import Measure, differences, interval, resample, resampled_difference
from workflow_scripts.contracts import BENCHMARK_SCORES
from workflow_scripts.evaluate.cophenetic import Pairs, pairs_of
from workflow_scripts.evaluate.image_sample import codes_of, draw_sample
from workflow_scripts.evaluate.triplets import triplet_accuracy

logger = logging.getLogger(__name__)

# Per image and rank: over thousands of images the mean is then accurate to a few tenths of a percent.
TRIPLETS = 20

COPHENETIC = "cophenetic"
# Further decimals depend on rounding, and so on the number of threads.
DECIMALS = 5


def intrinsic(
    *,
    benchmark: str,
    images: Path,
    features: dict[str, Path],
    out_dir: Path,
    threads: int = 1,
) -> None:
    """Write taxonomy measures of each model's features to `OUT_DIR/MODEL/BENCHMARK.json`, as a score file.

    Metrics: `cophenetic`, the correlation between cosine distance and height of the lowest common ancestor over all
    pairs of images; `triplet/RANK` and `triplet/mean`, the share of triplets in which the closer relative is also the
    closer image. Intervals (95 %) come from a bootstrap over lineages for `cophenetic` and over anchors for triplets.
    `against` has the paired differences between models; p comes from a permutation test for triplets and from the
    bootstrap for the correlation.

    Args:
        benchmark: the benchmark's name.
        images: its images.parquet.
        features: each model's features of these images.
        out_dir: the folder to write to.
        threads: threads for matrix products.

    Raises:
        InputError: features are missing or belong to other images, or the images have no ranks.
    """
    chosen = draw_sample(images)
    codes = codes_of(chosen.lineages)
    measures: dict[str, dict[str, Measure]] = {}
    pairs: dict[str, Pairs] = {}
    with threadpool_limits(threads):
        for model, path in features.items():
            vectors = chosen.features(path)
            measures[model] = triplet_accuracy(vectors, codes, TRIPLETS)
            pairs[model] = pairs_of(vectors, codes)
        drawn = {model: resample(measures[model]) for model in features}
        correlations = {model: one.resampled() for model, one in pairs.items()}
    if not np.isfinite(next(iter(pairs.values())).value()):
        raise InputError(f"{images}: all images have the same lineage; remove the benchmark from intrinsic.benchmarks")
    for model, path in features.items():
        metrics = {COPHENETIC: pairs[model].value()} | {name: one.value for name, one in measures[model].items()}
        intervals = {COPHENETIC: interval(correlations[model])} | {
            name: interval(drawn[model][name]) for name in measures[model]
        }
        against = {
            other: {
                COPHENETIC: resampled_difference(
                    pairs[model].value() - pairs[other].value(), correlations[model] - correlations[other]
                )
            }
            | differences(measures[model], measures[other], drawn[model], drawn[other])
            for other in features
            if other != model
        }
        described = {
            "benchmark": benchmark,
            "model": model,
            "protocol": "intrinsic",
            "n_images": len(chosen.rows),
            "n_classes": len(pairs[model].count),
            "metrics": metrics,
            "intervals": intervals,
            "against": {
                other: {name: vars(one) for name, one in of_other.items()} for other, of_other in against.items()
            },
            "inputs": {"images": chosen.digest, "features": sha256_file(path)},
        }
        write_document(out_dir / model / f"{benchmark}.json", _rounded(described), BENCHMARK_SCORES)
        logger.info("%s, %s: %s", benchmark, model, metrics)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return round(value, DECIMALS) if isinstance(value, float) else value


if __name__ == "__main__":
    run(intrinsic)
