"""The page is complete, self-contained and reproducible, and shows names from data as text."""

import csv
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.report.conftest import HOSTILE
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.protocols import PROTOCOLS
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import DOWNLOAD_HOSTS, PREDICTIONS
from workflow_scripts.report.build import build
from workflow_scripts.report.examples import read_examples
from workflow_scripts.report.scores import SCORES

Arguments = Callable[[], dict[str, Any]]


class Page(HTMLParser):
    """The tags, text and scripts of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "br":
            self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""
        if tag in ("td", "th"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.text += data

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(attribute)) is not None]

    @property
    def figures(self) -> dict[str, Any]:
        return dict(json.loads(self.scripts[0]))

    @property
    def maps(self) -> dict[str, Any]:
        return dict(json.loads(self.scripts[1]))


@pytest.fixture
def page(everything: Arguments) -> Page:
    arguments = everything()
    build(**arguments)
    return Page(arguments["out"])


def test_the_page_has_every_section(page: Page) -> None:
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert sections == [
        "scores",
        "classes",
        "features",
        "training",
        "data",
        "rows",
        "taxonomy",
        "examples",
        "cost",
        "provenance",
    ]
    assert set(page.values("data-figure")) == set(page.figures)
    assert set(page.figures) == {
        *("zero-shot", "few-shot-1", "flow", "strategies", "training-train", "treemap"),
        *("trained-tiny", "confusion-tiny"),
    }
    assert set(page.values("href")) == {f"#{section}" for section in sections}


def test_the_page_loads_nothing_from_elsewhere(page: Page) -> None:
    sources = page.values("src")
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "embed", "base", "form")]
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    own = page.scripts[-1]
    assert "showSendToCloud: false" in own
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(", own)


def test_hostile_names_are_text(page: Page) -> None:
    assert sum(tag == "script" for tag, _ in page.tags) == 4
    assert page.text.count("<script>alert('x')</script>") >= 5
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    for figure in (*page.figures.values(), *page.maps.values()):
        assert "<script>" not in json.dumps(figure)


def test_the_runs_own_model_comes_first_beside_the_start_and_chance(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "Model demo , trained on the corpus world" in text.replace("demo,", "demo ,")
    assert "tiny 75.0 50.0 +25.0 50.0" in text
    assert "other 25.0 37.5 -12.5 50.0" in text
    dots = page.figures["zero-shot"]["data"]
    assert [of_model["name"] for of_model in dots] == ["chance", "demo", "start"]
    assert [of_model["x"] for of_model in dots] == [[50, 50, None, 50, 50, None], [75, 25], [50, 37.5]]


def test_a_score_that_was_left_out_is_named_with_its_reason(page: Page) -> None:
    assert f"few_shot/5 of tiny: 5-shot needs 6 images a class; '{HOSTILE}' has 4" in page.text


def test_rows_are_summed_and_flow_into_training(page: Page) -> None:
    text = " ".join(page.text.split()).replace(" ,", ",")
    assert "sources images 110 105 95.5 % 5 bad url 5" in text
    assert "catalog images 105 100 95.2 % 5 same record twice 5" in text
    assert "curate images 100 80 80.0 % 20 download failed 10, unresolved 10" in text
    assert "replay selection pairs 40 30 75.0 % 10 unsafe 10" in text
    sankey = page.figures["flow"]["data"][0]
    assert "training 80" in sankey["node"]["label"]
    # Failed downloads count as lost in download, although curate counts them again.
    assert "http error 10" in sankey["node"]["label"]
    # The last 80 flow from training to an invisible column, which only leaves room for labels.
    assert sum(sankey["link"]["value"]) == 105 + 5 + 100 + 5 + 90 + 10 + 80 + 10 + 80 + 80


def test_examples_are_right_and_wrong_ones_of_both_models(page: Page) -> None:
    text = " ".join(page.text.split())
    headings = [
        "This model is right, another is not",
        "Every model is right",
        "No model is right",
        "Another model is right, this one is not",
    ]
    assert [text.index(heading) for heading in headings] == sorted(text.index(heading) for heading in headings)
    assert sum(tag == "figure" for tag, _ in page.tags) == 4 + 2 + 1 + 1
    assert sum(tag == "img" for tag, _ in page.tags) == 7
    assert "image no longer available" in text


def test_examples_of_three_models_have_the_right_kind(predictions: list[Path], images: Path) -> None:
    third = predictions[0].parents[1] / "third" / predictions[0].name
    rows = read_rows(predictions[0], PREDICTIONS).to_pylist()
    write_rows([row | {"correct": row["position"] % 2 == 0} for row in rows], PREDICTIONS, third)
    found = read_examples([*predictions, third], {"tiny": images}, ["demo", "start", "third"])["tiny"]
    seen = set()
    for example in found:
        own, *others = (guess.correct for guess in example.guesses)
        seen.add((own, sum(others)))
        assert (
            example.kind
            == {
                (True, 2): "every model is right",
                (True, 1): "this model is right, another is not",
                (True, 0): "this model is right, another is not",
                (False, 1): "another model is right, this one is not",
            }[own, sum(others)]
        )
    assert seen == {(True, 2), (True, 1), (True, 0), (False, 1)}


def test_a_hosts_time_is_the_mean_over_the_images_whose_time_is_known(everything: Arguments, tmp_path: Path) -> None:
    """Thirty images of the first generation were never requested; of the second, ten took 2 s and ten 1 s each."""
    failed = {"catalog_source": "tol", "host": "museum.org", "status": "failed", "reason": "timeout", "attempts": 1}
    failed |= {"stopped": False, "again": 0}
    parts = (
        [failed | {"images": 30, "seconds": None}],
        [
            failed | {"images": 10, "seconds": 2.0},
            failed | {"status": "ok", "reason": "", "images": 10, "seconds": 1.0, "unverified": 10},
            failed | {"host": "gone.org", "images": 3, "stopped": True, "detail": "certificate: gone.org: <expired>"},
        ],
    )
    files = tuple(tmp_path / f"g00{number}.hosts.parquet" for number in range(2))
    for path, rows in zip(files, parts, strict=True):
        write_rows(rows, DOWNLOAD_HOSTS, path)
    arguments = everything() | {"hosts": files}
    build(**arguments)
    text = " ".join(Page(arguments["out"]).text.split())
    assert "museum.org 50 40 timeout 40 1.5 10" in text
    assert "10 images" in text and "download.hosts" in text
    assert "gone.org 3 3 timeout 3 \u2013 certificate: gone.org: <expired>" in text


def test_curves_have_the_metrics_with_their_gaps(page: Page) -> None:
    curves = {trace["name"]: trace for trace in page.figures["training-train"]["data"]}
    assert set(curves) == {"loss", "lr", "logit_scale", "val_loss_biology"}
    assert curves["loss"]["x"] == list(range(1, 41))
    assert curves["loss"]["y"] == list(range(39, -1, -1))
    assert [value for value in curves["val_loss_biology"]["y"] if value is not None] == [2.5]


def test_provenance_names_config_digests_and_versions(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "snakemake all --profile profiles/local --configfile config.yaml" in text
    assert "weights of demo w-demo" in text
    assert re.search(r"labels [0-9a-f]{64}", text)
    assert re.search(r"torch \d+\.\d+", text)
    assert '"run": "demo"' in text


def test_the_scores_are_written_as_tables_beside_the_page(everything: Arguments, tmp_path: Path) -> None:
    build(**everything())
    with (tmp_path / "report" / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 5
    first = next(row for row in rows if (row["benchmark"], row["metric"]) == ("tiny", "few_shot/1"))
    assert (first["model"], first["value"], first["std"], first["chance"]) == ("demo", "0.75", "0.0125", "0.5")
    assert {row["protocol"] for row in rows} == {
        ", ".join(PROTOCOLS),
        "main-49e1cf5, corrected",
        "v1.0.1, v2.0.0",
    }
    table = read_rows(tmp_path / "report" / "scores.parquet", SCORES).to_pylist()
    assert {tuple(map(str, row.values())) for row in table} == {
        tuple("None" if value == "" else value for value in row.values()) for row in rows
    }


def test_the_same_inputs_give_the_same_bytes(everything: Arguments, tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        build(**everything())
        made.append({path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == {"index.html", "run.json", "scores.csv", "scores.parquet"}


def test_the_page_needs_no_optional_input(everything: Arguments) -> None:
    optional = ("predictions", "benchmarks", "metrics", "accounts", "labels", "summary", "corpus_identity")
    optional += ("composition", "intrinsic", "embedding_maps", "run_logs", "shared_logs", "shared")
    arguments = {name: value for name, value in everything().items() if name not in optional}
    build(**arguments)
    page = Page(arguments["out"])
    assert [attributes["id"] for tag, attributes in page.tags if tag == "section"] == ["scores", "provenance"]
    assert set(page.values("href")) == {"#scores", "#provenance"}


def test_a_run_without_benchmarks_has_a_page(everything: Arguments) -> None:
    given = everything()
    without = ("scores", "predictions", "benchmarks", "intrinsic")
    build(**given | {name: type(given[name])() for name in without})
    page = given["out"].read_text()
    assert given["run"] in page
    assert given["out"].with_name("scores.csv").read_text().count("\n") == 1


def test_an_unreadable_input_is_named(everything: Arguments, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    for name, value in {"summary": bad, "scores": (bad,), "accounts": (bad,), "metrics": {"train": bad}}.items():
        with pytest.raises(InputError, match=r"bad\.json"):
            build(**(everything() | {name: value}))
    with pytest.raises(InputError, match="--config"):
        build(**(everything() | {"config": "{"}))


def test_sources_are_listed_with_their_resolved_ranks(page: Page) -> None:
    text = " ".join(page.text.split())
    # Columns: source, labels, images, species, genus, family, order, class, phylum, kingdom, unresolved.
    assert text.index("<script>alert('x')</script> 1 3,000 0 3,000 0 0") < text.index(
        "gbif 3 1,527 1,520 0 0 0 0 0 0 7"
    )
    assert "7 <script>alert('x')</script> not found: no name" in text


def test_intervals_differences_heights_and_published_scores_are_shown(everything: Arguments) -> None:
    arguments = everything()
    for path in arguments["scores"]:
        described = json.loads(path.read_text())
        if described["benchmark"] == "other":
            described |= {"benchmark": "insects", "n_images": 4160, "n_classes": 104}
        other = "start" if described["model"] == "demo" else "demo"
        described["intervals"] = {"zero_shot/top1": [0.1234, 0.9876]}
        described["against"] = {other: {"zero_shot/top1": {"difference": 0.25, "low": 0.1, "high": 0.4, "p": 0.034}}}
        described["lca_height"] = {"mean": 2.5, "interval": [2.0, 3.0]}
        path.write_text(json.dumps(described))
    build(**arguments)
    text = arguments["out"].read_text()
    assert "[12.3, 98.8]" in text
    assert "PlantDoc's five repeats" in text
    assert 'data-value="25.0000" data-low="10.0000" data-high="40.0000"' in text
    assert "p 0.034" in text
    assert '2.50<span class="muted"> [2.00, 3.00]' in text
    published = text[text.index('id="published-table"') :]
    assert "BioCLIP 2</th>" in published
    assert ">55.3</td>" in published
    assert "<td>v1.0.1, v2.0.0, main-49e1cf5</td>" in published


def test_the_corpus_is_named_by_its_digest_and_shown_by_rank(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "Trained on the corpus world:0123456789abcdef" in text
    assert re.search(r"training images\s*30", text)
    [treemap] = page.figures["treemap"]["data"]
    nodes = dict(zip(treemap["labels"], treemap["values"], strict=True))
    assert (nodes["Animalia"], nodes["Pica"], nodes["Pica hudsonia"]) == (30, 25, 20)
    assert treemap["parents"][treemap["labels"].index("Pica")].endswith("family:Corvidae")


def test_the_page_of_a_mixture_names_the_mixture(everything: Arguments) -> None:
    mixed = {"run": "demo", "mix": [{"corpus": "world", "weight": 2}, {"tars": "elsewhere/*.tar", "weight": 1}]}
    arguments = everything() | {"config": json.dumps(mixed)}
    build(**arguments)
    text = " ".join(Page(arguments["out"]).text.split())
    assert "trained on the mixture world + elsewhere/*.tar" in text
    assert "rained on the corpus" not in text
    assert "the corpus world:0123456789abcdef" in text


def test_embedding_maps_show_two_models(page: Page) -> None:
    plane = page.maps["tiny"]
    assert plane["models"] == ["demo", "start"]
    assert [len(values) for values in plane["x"]] == [8, 8]
    assert plane["ranks"]["genus"]["names"][0] == "Pica"
    assert sorted(set(plane["ranks"]["genus"]["of"])) == [-2, 0, 1]
    assert any(text.startswith("Pica hudsonia") for text in plane["hover"])
    text = " ".join(page.text.split())
    assert "tiny cophenetic 0.700 [0.600, 0.800] 0.400 [0.300, 0.500] ▲ +0.300 [+0.100, +0.500] p < 0.002 8" in text
    assert text.index("tiny triplet/mean") < text.index("tiny triplet/kingdom") < text.index("tiny triplet/species")


def test_each_steps_jobs_are_summed_up_by_time_and_memory(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "download run 3 1 min 30 s 78.3 % 1 min 00 s 4.0 s 300 3 6" in text
    assert "train/start.pretrain shared 1 25.0 s" in text
    assert "other" not in {name for name in text.split() if name.startswith("train/other")}
    assert "This run: 1 min 30 s in 3 jobs" in text
    assert "shared by all runs): 25.0 s in 1 job" in text
    assert "1 min 55 s in 4 jobs" in text


def test_the_facts_of_the_run_are_written_beside_the_page(everything: Arguments, tmp_path: Path) -> None:
    build(**everything())
    facts = json.loads((tmp_path / "report" / "run.json").read_text())
    assert facts["corpus"]["id"] == "world:0123456789abcdef"
    assert facts["config"]["run"] == "demo"
    assert facts["digests"]["weights of demo"] == "w-demo"
    assert {cost["step"]: cost["jobs"] for cost in facts["costs"]} == {"download": 3, "train/start.pretrain": 1}
