"""Paths of all files of a corpus, a run and the shared folder.

`Layout("results").corpus("world").verdicts` is one kind of files. Called with names, it gives a path; names that are
not given stay in braces, as Snakemake wildcards. `each` lists the paths of all given names, `found` those on disk.
"""

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

NAME = re.compile(r"\{(\w+)\}")
# Glob patterns of names when listing files; `*` for other names.
SHAPES = {"generation": "g[0-9][0-9][0-9]", "part": "[0-9][0-9][0-9][0-9]"}
# Files that a training writes to its folder.
TRAINING_FILES = ("summary.json", "metrics.jsonl", "model.safetensors", "best.safetensors")


@dataclass(frozen=True)
class Files:
    """The files of one kind.

    Attributes:
        folder: folder of the corpus, of the run, or of shared files.
        pattern: path within the folder, with variable names in braces.
    """

    folder: str
    pattern: str

    def __call__(self, **names: object) -> str:
        """The path with these names filled in.

        Raises:
            TypeError: the pattern lacks one of the names.
        """
        if unknown := set(names) - set(NAME.findall(self.pattern)):
            raise TypeError(f"{self.pattern} has no {', '.join(sorted(unknown))}")
        return f"{self.folder}/{self._filled(names)}"

    def each(self, **names: Iterable[object]) -> list[str]:
        """The paths for all combinations of these names, the last name varying fastest."""
        return [self(**dict(zip(names, values, strict=True))) for values in product(*names.values())]

    def found(self, **names: object) -> list[Path]:
        """The files on disk, sorted by path."""
        shapes = {name: SHAPES.get(name, "*") for name in NAME.findall(self.pattern)}
        filled = {name: glob.escape(str(value)) for name, value in names.items()}
        return sorted(Path(self.folder).glob(self._filled(shapes | filled)))

    def _filled(self, names: Mapping[str, object]) -> str:
        return NAME.sub(lambda found: str(names.get(found[1], found[0])), self.pattern)


@dataclass(frozen=True)
class At:
    """Descriptor for one kind of files of a folder."""

    pattern: str

    def __get__(self, place: "Folder", owner: type["Folder"]) -> Files:
        """The files of this kind in the folder."""
        return Files(place.folder, self.pattern)


@dataclass(frozen=True)
class Folder:
    """A folder with named kinds of files.

    Attributes:
        folder: path of the folder.
    """

    folder: str

    @property
    def name(self) -> str:
        """Name of the folder, without its parents."""
        return Path(self.folder).name

    def __str__(self) -> str:
        return self.folder


class Corpus(Folder):
    """`results/corpora/<corpus>`."""

    source = At("catalog/{generation}/sources/{source}.parquet")
    source_folders = At("catalog/{generation}/sources/{source}.folders.json")
    source_account = At("catalog/{generation}/sources/{source}.account.json")
    catalog_part = At("catalog/{generation}/part-{part}.parquet")
    catalog_labels = At("catalog/{generation}/labels.parquet")
    catalog_hosts = At("catalog/{generation}/hosts.parquet")
    catalog_dealt = At(".work/catalog/{generation}")
    catalog_account = At("catalog/{generation}/account.json")
    catalog_loss = At("catalog/{generation}/loss.json")

    downloads = At("download")
    download_part = At("download/part-{part}/manifest.parquet")
    download_part_account = At("download/part-{part}/account.json")
    gathered = At("download/{generation}.parquet")
    gathered_account = At("download/{generation}.account.json")
    gathered_hosts = At("download/{generation}.hosts.parquet")
    gathered_lost = At("download/{generation}.lost.csv")
    gathered_loss = At("download/{generation}.loss.json")
    download_work = At(".work/download")
    retried = At(".work/download/retried-{kind}.json")
    download_key = At(".work/download/{key}/key.json")

    findings = At("screen/{judge}/part-{part}.parquet")
    findings_group = At("screen/{judge}/{generation}/group-{group}.account.json")
    gathered_findings = At("screen/{judge}/{generation}.parquet")
    gathered_findings_account = At("screen/{judge}/{generation}.account.json")
    judge_classes = At("screen/{judge}/classes.safetensors")
    sample = At("screen/{judge}/sample.html")
    screen = At("screen/{judge}")
    screen_work = At(".work/screen")

    labels = At("taxonomy/labels.parquet")
    labels_account = At("taxonomy/account.json")
    labels_stats = At("taxonomy/stats.json")

    leakage = At("curate/{generation}/leakage.parquet")
    leakage_account = At("curate/{generation}/leakage.account.json")
    verdicts = At("curate/{generation}/verdicts.parquet")
    verdicts_account = At("curate/{generation}/account.json")
    verdicts_loss = At("curate/{generation}/loss.json")
    attribution = At("curate/{generation}/attribution.parquet")
    seen_species = At("curate/seen_species.parquet")

    shards = At("shards/{generation}")
    shards_plan = At("shards/{generation}/plan.parquet")
    shards_account = At("shards/{generation}/account.json")
    group_manifest = At("shards/{generation}/groups/group-{group}.manifest.parquet")
    group_index = At("shards/{generation}/groups/group-{group}.index.parquet")
    shard_manifest = At("shards/{generation}/{split}/manifest.parquet")
    shard_index = At("shards/{generation}/{split}/index.parquet")
    shards_work = At(".work/shards")

    replay = At("replay")
    replay_part = At("replay/selection/part-{part}.parquet")
    replay_dealt = At(".work/selection")
    replay_hosts = At("replay/selection/hosts.parquet")
    replay_selection = At("replay/selection/selection.json")
    replay_selection_account = At("replay/selection/account.json")
    replay_download_part = At("replay/download/part-{part}/manifest.parquet")
    replay_download_part_account = At("replay/download/part-{part}/account.json")
    replay_manifest = At("replay/{split}/manifest.parquet")
    replay_index = At("replay/{split}/index.parquet")
    replay_account = At("replay/account.json")
    replay_loss = At("replay/loss.json")
    replay_work = At(".work/replay")

    identity = At("corpus.json")
    composition = At("composition.parquet")


class Run(Folder):
    """`results/runs/<run>`."""

    # Facts about a read-only corpus: identity, composition, species seen.
    about_corpus = At("corpus")

    train = At("train")
    training = At("train/{file}")
    summary = At("train/summary.json")
    metrics = At("train/metrics.jsonl")
    train_work = At(".work/train")

    model = At("model")
    model_config = At("model/open_clip_config.json")
    model_card = At("model/README.md")
    lineage = At("model/lineage.json")
    species_texts = At("model/txt_emb_species.{kind}")

    features = At("features/{model}/{benchmark}.safetensors")
    searches = At("searches/{model}/{benchmark}/of-{parts}")
    searched_part = At("searches/{model}/{benchmark}/of-{parts}/part-{part}.parquet")
    scores = At("scores/{model}/{benchmark}.json")
    predictions = At("scores/{model}/{benchmark}.predictions.parquet")
    intrinsic = At("intrinsic/{model}/{benchmark}.json")
    tsne = At("intrinsic/{model}/{benchmark}.tsne.parquet")
    leakage_part = At("leakage/{benchmark}/{generation}.parquet")
    leakage_part_account = At("leakage/{benchmark}/{generation}.account.json")
    leakage = At("leakage/{benchmark}.json")

    report = At("report/index.html")
    facts = At("report/run.json")
    score_table = At("report/scores.csv")
    score_rows = At("report/scores.parquet")

    published_model_card = At("publish/model/README.md")
    published_dataset_card = At("publish/dataset/README.md")
    published_catalog = At("publish/dataset/catalog.parquet")
    publish_work = At(".work/publish")
    crate = At("crate/ro-crate-metadata.json")

    ablations = At("ablations")
    ablation = At("ablations/{variant}")
    ablation_features = At("ablations/{variant}/features/{benchmark}.safetensors")
    ablation_scores = At("ablations/scores/{text_type}/{variant}/{benchmark}.{kind}")
    ablation_table = At("ablations/scores.{kind}")


class Shared(Folder):
    """`results/shared`: files shared by corpora and runs."""

    source = At("sources/{identity}/{file}")
    backbone_archive = At("backbones/{name}-{identity}/archive.zip")
    backbone = At("backbones/{name}-{identity}/backbone.duckdb")
    backbone_summary = At("backbones/{name}-{identity}/summary.json")
    benchmark = At("benchmarks/{benchmark}-{identity}")
    benchmark_images = At("benchmarks/{benchmark}-{identity}/images.parquet")
    benchmark_account = At("benchmarks/{benchmark}-{identity}/account.json")
    benchmark_fetched = At("benchmarks/fetched/{benchmark}-{identity}/fetched.json")
    model = At("models/{model}")
    fetched_model = At("models/{fetched}/open_clip_config.json")
    fetched_vision_model = At("models/{fetched}/config.json")
    model_summary = At("models/{model}/train/summary.json")
    indexed = At("indexed/{indexed}")
    indexed_manifest = At("indexed/{indexed}/{split}/manifest.parquet")
    indexed_index = At("indexed/{indexed}/{split}/index.parquet")
    work = At(".work/{step}")


class PastImages(Folder):
    """`results/ledgers/<corpus>.held`: ledgers of the images that a corpus's shards have ever contained."""

    manifest = At("{of}/{digest}.manifest.parquet")
    images = At("{of}/{digest}.images.parquet")


class World(Folder):
    """`results/world/<corpus>`: the embedded world."""

    catalog = At("catalog.parquet")
    provenance = At("provenance.parquet")
    table = At("table.csv")
    backbone = At("backbone/{file}")
    replay = At("replay.parquet")
    benchmark_labels = At("benchmarks/{benchmark}/labels.csv")
    benchmarks = At("benchmarks")
    planted = At("planted.csv")
    support = At("support")
    served = At("world.json")


@dataclass(frozen=True)
class Layout:
    """The results folder.

    Attributes:
        results: path of the folder.
    """

    results: str

    def corpus(self, name: str) -> Corpus:
        """A corpus, by its name or, if it contains a `/`, by the path of one that was made elsewhere."""
        return Corpus(name.rstrip("/") if "/" in name else f"{self.results}/corpora/{name}")

    def run(self, name: str) -> Run:
        """The run of this name."""
        return Run(f"{self.results}/runs/{name}")

    def world(self, corpus: str) -> World:
        """The embedded world of a corpus."""
        return World(f"{self.results}/world/{corpus}")

    @property
    def shared(self) -> Shared:
        """Files shared by corpora and runs."""
        return Shared(f"{self.results}/shared")

    def ledger(self, corpus: str) -> str:
        """Path of a corpus's takedown ledger, outside the corpus so that it survives a rebuild."""
        return f"{self.results}/ledgers/{corpus}.parquet"

    def ledgers(self) -> list[Path]:
        """Paths of the existing takedown ledgers, sorted."""
        return Files(self.results, "ledgers/{corpus}.parquet").found()

    def past_images(self, corpus: str) -> PastImages:
        """Ledgers of the images in a corpus's shards, past and present; outside the corpus for the same reason."""
        return PastImages(f"{self.results}/ledgers/{corpus}.held")

    def corpora(self) -> list[Corpus]:
        """The existing corpora, sorted by name."""
        folders = Files(self.results, "corpora/{corpus}").found()
        return [Corpus(str(folder)) for folder in folders if folder.is_dir()]

    def runs(self) -> list[Run]:
        """The existing runs, sorted by name."""
        return [Run(str(folder)) for folder in Files(self.results, "runs/{run}").found() if folder.is_dir()]
