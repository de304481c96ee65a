"""The models that each benchmark scores, and their files."""

from collections.abc import Collection, Mapping

from workflow_scripts.common.config.evaluate import Benchmark, NewtBenchmark, ReplayBenchmark, needs_text
from workflow_scripts.common.layout import Run


class Scoring:
    """The scores of a run.

    Args:
        run: its folder.
        benchmarks: by name.
        models: names of the models to score.
        without_text: those of them that have no text tower.
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
        # Where each image has a caption of its own, only models that read text can be scored.
        self.models = {
            name: self._with_text if isinstance(spec, ReplayBenchmark) else list(models)
            for name, spec in benchmarks.items()
        }

    def scores(self, benchmark: str) -> list[str]:
        """The scores of each model."""
        return self._run.scores.each(model=self.models[benchmark], benchmark=[benchmark])

    def all_scores(self) -> list[str]:
        """The scores of all benchmarks."""
        return [path for name in self._benchmarks for path in self.scores(name)]

    def predictions(self, benchmark: str) -> list[str]:
        """Zero-shot predictions, of the models and benchmarks that have any."""
        if not needs_text(self._benchmarks[benchmark]):
            return []
        return self._run.predictions.each(model=self._with_text, benchmark=[benchmark])

    def features(self, benchmark: str) -> dict[str, str]:
        """The features of a benchmark's images, by model."""
        return {name: self._run.features(model=name, benchmark=benchmark) for name in self.models[benchmark]}

    def search_folders(self, benchmark: str) -> dict[str, str]:
        """Where NeWT's searches are written, by model; nothing for other benchmarks."""
        spec = self._benchmarks[benchmark]
        if not isinstance(spec, NewtBenchmark):
            return {}
        models = self.models[benchmark]
        return {name: self._run.searches(model=name, benchmark=benchmark, parts=spec.jobs) for name in models}

    def searches(self, benchmark: str) -> list[str]:
        """The files of those searches."""
        spec = self._benchmarks[benchmark]
        parts = [f"{number:04d}" for number in range(spec.jobs if isinstance(spec, NewtBenchmark) else 0)]
        return [f"{folder}/part-{part}.parquet" for folder in self.search_folders(benchmark).values() for part in parts]
