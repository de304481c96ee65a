"""Folders of a run's models: starting weights, baselines, and judges' models."""

from pathlib import Path

from workflow_scripts.common.config.model_source import ModelSource
from workflow_scripts.common.config.root import Config
from workflow_scripts.common.config.screen import ClipJudge
from workflow_scripts.common.files import digest
from workflow_scripts.common.layout import Layout


class Models:
    """The models that a config names.

    Attributes:
        start: folder of the starting weights.
        pretrain_start: folder of the weights that pretraining starts from; None without pretraining.
        folders: folders of the models to score, by name: the baselines, then the run's own.
        without_text: names of the models to score that have no text tower.
        judges: folders of the judges' models, by judge.
        fetched: sources of the models to fetch, by the name of their folder.
    """

    def __init__(self, config: Config, layout: Layout) -> None:
        self._shared = layout.shared
        self._baselines = config.baselines
        self._judges = {name: judge.model for name, judge in config.screen.items() if isinstance(judge, ClipJudge)}
        model, own = config.model, _identity(config.model)
        self.start = layout.shared.model(model=f"start-{own}")
        self.pretrain_start: str | None = None
        if model.kind == "pretrain":
            made = _identity(model, config.pretrain, config.replay, config.corpus)
            self.start = layout.shared.model(model=f"pretrained-{made}")
            random = _identity(model.model_copy(update={"start": None}))
            self.pretrain_start = layout.shared.model(model=f"random-{random}")
        # The first is the starting model, which the run is compared with.
        baselines = sorted(config.baselines.items(), key=lambda entry: (entry[1].kind != "run", entry[0]))
        self.folders = {name: self._folder(one) for name, one in baselines}
        self.folders[config.run] = layout.run(config.run).model()
        self.without_text = [name for name, one in config.baselines.items() if not one.has_text]
        self.judges = {name: self._folder(one) for name, one in self._judges.items()}
        self.trainable = Path(self.pretrain_start or self.start).name
        self.fetched: dict[str, ModelSource] = {self.trainable: model.fetched} | {
            Path(self._folder(one)).name: one
            for one in (*config.baselines.values(), *self._judges.values())
            if one.kind != "run" and not one.is_ready
        }

    def files(self, name: str) -> list[str]:
        """Files of a model to score, as inputs for Snakemake."""
        baseline = self._baselines.get(name)
        if baseline is not None and baseline.is_ready:
            return baseline.files
        return [f"{self.folders[name]}/{baseline.config_name if baseline else 'open_clip_config.json'}"]

    def judge_files(self, name: str) -> list[str]:
        """Files of a judge's model, as inputs for Snakemake."""
        model = self._judges[name]
        return model.files if model.is_ready else [f"{self.judges[name]}/{model.config_name}"]

    def judge_source(self, name: str) -> str:
        """Source of a judge's model, for the command line of a step."""
        return f"{'' if self._judges[name].has_text else 'timm:'}local-dir:{self.judges[name]}"

    def source(self, name: str) -> str:
        """Source of a model to score, for the command line of a step."""
        return f"{'timm:' if name in self.without_text else ''}local-dir:{self.folders[name]}"

    def fetched_files(self) -> list[str]:
        """The config files of all models to fetch."""
        return [f"{self._shared.model(model=name)}/{one.config_name}" for name, one in self.fetched.items()]

    def _folder(self, baseline: ModelSource) -> str:
        if baseline.kind == "run":
            return self.start
        return baseline.place if baseline.is_ready else self._shared.model(model=f"fetched-{_identity(baseline)}")


def _identity(*values: object) -> str:
    """Short identifier of settings, for names of shared folders."""
    return digest([value.model_dump(mode="json") if hasattr(value, "model_dump") else value for value in values])[:8]
