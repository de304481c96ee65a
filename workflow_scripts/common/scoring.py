"""The models that each benchmark scores, and their files."""

from collections.abc import Collection, Mapping

from workflow_scripts.common.config.evaluate import Benchmark, NewtBenchmark, ReplayBenchmark, needs_text
from workflow_scripts.common.layout import Run


class Scoring:
    """The scores of a run.

    Args:
        run: the run.
        benchmarks: the benchmarks, by name.
        models: names of the models to score.
        without_text: names of the models that have no text tower.
    """

    def __init__(
        self,
        run: Run,
        benchmarks: Mapping[str, Benchmark],
        models: Collection[str],
        without_text: Collection[str],
    ) -> None:
        self._run = run
        self._benchmarks = benchmarks
        self._with_text = [name for name in models if name not in without_text]
        # Benchmarks with a caption per image need a text tower.
        self.models = {
            name: self._with_text if isinstance(spec, ReplayBenchmark) else list(models)
            for name, spec in benchmarks.items()
        }

    def scores(self, benchmark: str) -> list[str]:
        """Score files of a benchmark, one per model."""
        return self._run.scores.each(model=self.models[benchmark], benchmark=[benchmark])

    def all_scores(self) -> list[str]:
        """Score files of all benchmarks."""
        return [path for name in self._benchmarks for path in self.scores(name)]

    def predictions(self, benchmark: str) -> list[str]:
        """Files of zero-shot predictions, of models and benchmarks that have them."""
        if not needs_text(self._benchmarks[benchmark]):
            return []
        return self._run.predictions.each(model=self._with_text, benchmark=[benchmark])

    def features(self, benchmark: str) -> dict[str, str]:
        """Files of the features of a benchmark's images, by model."""
        return {name: self._run.features(model=name, benchmark=benchmark) for name in self.models[benchmark]}

    def search_folders(self, benchmark: str) -> dict[str, str]:
        """Folders of NeWT's searches, by model; empty for other benchmarks."""
        spec = self._benchmarks[benchmark]
        if not isinstance(spec, NewtBenchmark):
            return {}
        models = self.models[benchmark]
        return {name: self._run.searches(model=name, benchmark=benchmark, parts=spec.jobs) for name in models}

    def searches(self, benchmark: str) -> list[str]:
        """Files of NeWT's searches; empty for other benchmarks."""
        spec = self._benchmarks[benchmark]
        parts = [f"{number:04d}" for number in range(spec.jobs if isinstance(spec, NewtBenchmark) else 0)]
        return [f"{folder}/part-{part}.parquet" for folder in self.search_folders(benchmark).values() for part in parts]
