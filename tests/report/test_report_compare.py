"""Comparison of several runs on one page: differences and their intervals."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report.runs import cost, predictions, write_run
from workflow_scripts.common.errors import InputError
from workflow_scripts.report.compare import compare
from workflow_scripts.report.paired import paired


class Texts(HTMLParser):
    """A page's text, and the JSON of its figures."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.inside, self.text, self.scripts = "", "", list[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        # A possible word break is not a space.
        self.text += "" if tag == "wbr" else " "

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside != "style":
            self.text += data


def test_only_differences_are_shown(tmp_path: Path) -> None:
    write_run(tmp_path, "a", 0.1, [True] * 60 + [False] * 40)
    write_run(tmp_path, "b", 0.2, [True] * 80 + [False] * 20)
    compare(runs=("a", "b"), results=tmp_path)
    page = Texts(tmp_path / "compare/a-b/index.html")
    text = " ".join(page.text.split())
    assert "train.lr 0.1 0.2" in text
    assert "train.seed" not in text
    assert "tiny zero_shot/top1 60.0 80.0 ▲ +20.0 [+12.0, +29.0] p < 0.002" in text
    assert "train/run each run 10.0 s 50 20.0 s 50 30.0 s" in text
    figures = json.loads(page.scripts[0])
    assert [(trace["name"], trace["y"]) for trace in figures["training"]["data"]] == [
        ("a", [0.1, 0.2]),
        ("b", [0.2, 0.4]),
    ]


def test_the_comparison_as_json_has_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, "a", 0.1, [True] * 60 + [False] * 40)
    write_run(tmp_path, "b", 0.2, [True] * 80 + [False] * 20)
    compare(runs=("a", "b"), results=tmp_path, json_lines=True)
    found = json.loads(capsys.readouterr().out)
    assert Path(found["page"]).exists()
    first, second = found["scores"]
    assert (first["run"], first["value"]) == ("a", 0.6)
    assert (second["value"], second["difference"]["difference"]) == (0.8, pytest.approx(0.2))
    assert {"name": "train.lr", "values": {"a": 0.1, "b": 0.2}} in found["config"]
    download = next(cost for cost in found["costs"] if cost["step"] == "download")
    assert (download["seconds"], download["works"][0]["runs"]) == (300, ["a", "b"])


def test_work_that_runs_share_is_named_and_counted_once(tmp_path: Path) -> None:
    """Both runs share the corpus and one of two benchmarks; a step of the same name belongs to two owners."""
    for name, lr in (("a", 0.1), ("b", 0.2)):
        write_run(tmp_path, name, lr, [True])
        path = tmp_path / f"runs/{name}/report/run.json"
        facts = json.loads(path.read_text())
        facts["costs"].append(cost("download", "run", 1000 * lr))
        path.write_text(json.dumps(facts))
    compare(runs=("a", "b"), results=tmp_path, out=tmp_path / "page.html")
    text = " ".join(Texts(tmp_path / "page.html").text.split())
    assert "download corpus world, shared by a, b 5 min 00 s 50 5 min 00 s 50 5 min 00 s" in text
    assert "download each run 1 min 40 s 50 3 min 20 s 50 5 min 00 s" in text
    assert (
        "tiny-01234567, shared by a, b; of_a-89abcdef, only a; of_b-89abcdef, only b 7.0 s 50 7.0 s 50 10.0 s" in text
    )
    # 10 + 20 + 100 + 200 of the runs, 300 of the corpus, 4 + 3 + 3 of the benchmarks.
    assert "All runs together: 10 min 40 s" in text


def test_work_on_different_corpora_is_not_shared(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path, name, 0.1, [True])
    path = tmp_path / "runs/b/report/run.json"
    path.write_text(path.read_text().replace('"name": "world"', '"name": "other"'))
    compare(runs=("a", "b"), results=tmp_path, out=tmp_path / "page.html")
    text = " ".join(Texts(tmp_path / "page.html").text.split())
    assert "download corpus world, only a; corpus other, only b 5 min 00 s 50 5 min 00 s 50 10 min 00 s" in text


def test_predictions_on_different_images_are_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path, "a", 0.1, [True, False])
    write_run(tmp_path, "b", 0.1, [True, True], images="other")
    compare(runs=("a", "b"), results=tmp_path, out=tmp_path / "page.html")
    assert "other images" in Texts(tmp_path / "page.html").text


def test_scores_on_different_images_are_not_compared_without_predictions_either(tmp_path: Path) -> None:
    for name, images in (("a", "same"), ("b", "other")):
        write_run(tmp_path, name, 0.1, [True, False], images=images)
        (tmp_path / f"runs/{name}/scores/{name}/tiny.predictions.parquet").unlink()
    compare(runs=("a", "b"), results=tmp_path, out=tmp_path / "page.html")
    text = " ".join(Texts(tmp_path / "page.html").text.split())
    assert "tiny zero_shot/top1 50.0 50.0 other images" in text


def test_scores_of_a_benchmark_that_a_run_no_longer_has_are_not_shown(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path, name, 0.1, [True, False])
        folder = tmp_path / f"runs/{name}/scores/{name}"
        left = json.loads((folder / "tiny.json").read_text()) | {"benchmark": "left_behind"}
        (folder / "left_behind.json").write_text(json.dumps(left))
    compare(runs=("a", "b"), results=tmp_path, out=tmp_path / "page.html")
    assert "left_behind" not in Texts(tmp_path / "page.html").text


def test_a_mean_over_subsets_has_no_interval_of_a_mean_over_images(tmp_path: Path) -> None:
    """Of 90 images in one subset and 10 in another, only the second run has the ten correct: +50 points, not +10."""
    for name, right, mean in (("a", 90, 0.5), ("b", 100, 1.0)):
        write_run(tmp_path, name, 0.1, [True] * right + [False] * (100 - right))
        path = tmp_path / f"runs/{name}/scores/{name}/tiny.json"
        metrics = {"zero_shot/top1": mean, "subset/large/zero_shot/top1": 1.0}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": metrics}))
    compare(runs=("a", "b"), results=tmp_path, out=tmp_path / "page.html")
    text = " ".join(Texts(tmp_path / "page.html").text.split())
    assert "tiny zero_shot/top1 50.0 100.0 +50.0 tiny" in text


def test_a_run_without_a_report_and_a_single_run_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, "a", 0.1, [True])
    with pytest.raises(InputError, match="at least two"):
        compare(runs=("a",), results=tmp_path)
    with pytest.raises(InputError, match=r"runs/c/report/run\.json"):
        compare(runs=("a", "c"), results=tmp_path)


def test_paired_answers_by_hand(tmp_path: Path) -> None:
    """The second is correct on ten more images, the first on none: p is about 2 / 2^10."""
    one = predictions(tmp_path / "one.parquet", [True] * 40 + [False] * 60)
    other = predictions(tmp_path / "other.parquet", [True] * 50 + [False] * 50)
    found = paired(one, other)
    assert (found.won, found.lost) == (10, 0)
    assert found.top1.difference == pytest.approx(0.1)
    assert found.top1.p == pytest.approx(2 / 2**10, abs=0.004)
    assert 0.03 < found.top1.low < 0.1 < found.top1.high < 0.17
    same = paired(one, one).top1
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    with pytest.raises(InputError, match=r"third\.parquet"):
        paired(one, predictions(tmp_path / "third.parquet", [True] * 100, first="x.jpg"))
