"""Anything that the workflow made, or a photo from outside, is traced to where it comes from."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from tests.report import small_corpus
from tests.report.small_corpus import SmallCorpus
from workflow_scripts.common import layout
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.held import keep_all
from workflow_scripts.common.images import decode, pdq
from workflow_scripts.common.layout import Layout
from workflow_scripts.common.tables import connect, read_rows, write_rows
from workflow_scripts.contracts import GATHERED_DOWNLOADS, HELD, LEDGER, SHARD_INDEX, SHARD_MANIFEST, VERDICTS
from workflow_scripts.report.trace import trace
from workflow_scripts.report.trained_on import trained_on


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallCorpus:
    return small_corpus.make(tmp_path_factory.mktemp("small"))


def traced(made: SmallCorpus, what: object, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    trace(what=str(what), results=made.results, json_lines=True)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_image_is_the_same_by_uuid_md5_and_file(made: SmallCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    [by_uuid] = traced(made, made.uuids[0], capsys)
    assert traced(made, made.photos[0], capsys) == [by_uuid]
    assert traced(made, by_uuid["fetch"]["md5"], capsys) == [by_uuid]
    assert by_uuid["source"]["source_url"] == "https://example.org/0.jpg"
    assert (by_uuid["licence"]["as written"], by_uuid["licence"]["as read"]) == ("a licence", "CC-BY-4.0")
    assert by_uuid["label"]["as written"]["kingdom"] == "Metazoa"
    assert by_uuid["label"]["resolved"]["kingdom"] == "Animalia"
    assert by_uuid["verdict"] == {"keep": True, "split": "train"}
    assert by_uuid["shard"]["position"] == 0
    assert by_uuid["shard"]["in"].startswith("g000/train/shard-000000.tar, bytes 512 to ")
    assert by_uuid["models trained on it"] == ["demo"]
    assert by_uuid["corpus"].startswith("small:")


def test_the_bytes_named_are_the_image(made: SmallCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    [record] = traced(made, made.uuids[1], capsys)
    shard, _, span = record["shard"]["in"].partition(", bytes ")
    start, _, end = span.partition(" to ")
    content = (made.corpus / "shards" / shard).read_bytes()[int(start) : int(end)]
    assert content == small_corpus.photo(1, 60)


def test_what_was_left_out_or_held_out_trained_no_model(made: SmallCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    for number, verdict in ((2, {"keep": True, "split": "val"}), (3, {"keep": False, "reason": "duplicate"})):
        [record] = traced(made, made.uuids[number], capsys)
        assert record["verdict"] == verdict
        assert record["models trained on it"] == "none here"


def test_a_model_names_corpus_digests_config_and_code(made: SmallCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    identity = json.loads((made.corpus / "corpus.json").read_text())
    [by_name] = traced(made, "demo", capsys)
    assert by_name["corpora"] == [identity["id"]]
    assert by_name["digests"]["code"] == "c0de"
    assert by_name["config"]["train"] == {"lr": 1e-3}
    assert by_name["weights"]["sha256"] == sha256_file(made.run / "model/open_clip_model.safetensors")
    assert traced(made, made.run / "model", capsys) == [by_name]
    assert traced(made, made.run / "model/open_clip_model.safetensors", capsys) == [by_name]


def test_a_corpus_is_found_by_its_name_and_by_its_printed_id(
    made: SmallCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = json.loads((made.corpus / "corpus.json").read_text())
    for what in ("small", identity["id"], identity["digest"]):
        [record] = traced(made, what, capsys)
        assert (record["id"], record["models trained on it"]) == (identity["id"], ["demo"])


def test_a_printed_id_is_found_whatever_letters_its_corpus_is_called_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    made.corpus.rename(made.corpus.with_name("Small"))
    digest = json.loads((made.corpus.with_name("Small") / "corpus.json").read_text())["digest"]
    [record] = traced(made, f"Small:{digest[:16]}", capsys)
    assert record["digest"] == digest


def test_a_shard_is_known_by_its_bytes_wherever_it_lies(
    made: SmallCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "elsewhere.tar"
    copy.write_bytes((made.corpus / "shards/g000/train/shard-000000.tar").read_bytes())
    [record] = traced(made, copy, capsys)
    assert (record["shard"], record["samples"]) == ("shards/g000/train/shard-000000.tar", 2)
    assert record["models trained on it"] == ["demo"]
    [record] = traced(made, made.corpus / "shards/g000/val/shard-000000.tar", capsys)
    assert record["models trained on it"] == "none here"


def test_a_shard_stays_what_a_model_saw_when_the_corpus_grows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    later = made.corpus / "shards/g001/train"
    later.mkdir(parents=True)
    tar = {"shard": "shard-000000.tar", "samples": 1, "bytes": 1, "sha256": "b" * 64}
    write_rows([tar], SHARD_MANIFEST, later / "manifest.parquet")
    [record] = traced(made, made.corpus / "shards/g000/train/shard-000000.tar", capsys)
    assert record["models trained on it"] == ["demo"]


def test_a_model_trained_on_the_small_split_names_its_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    folder = made.corpus / "shards/g000"
    shutil.copytree(folder / "train", folder / "train_small")
    write_rows([], SHARD_MANIFEST, folder / "train/manifest.parquet")
    [record] = traced(made, "demo", capsys)
    assert record["corpora"] == [json.loads((made.corpus / "corpus.json").read_text())["id"]]


def test_whatever_lies_in_a_run_or_a_corpus_is_of_that(made: SmallCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    [model] = traced(made, "demo", capsys)
    [corpus] = traced(made, "small", capsys)
    scores = made.run / "scores/demo/insects.json"
    scores.parent.mkdir(parents=True, exist_ok=True)
    scores.write_text('{"benchmark": "insects"}')
    [record] = traced(made, scores, capsys)
    assert record == {"what": "made by a run", "file": str(scores), "sha256": sha256_file(scores), "of": model}
    labels = made.corpus / "taxonomy/labels.parquet"
    [record] = traced(made, labels, capsys)
    assert record == {"what": "part of a corpus", "file": str(labels), "sha256": sha256_file(labels), "of": corpus}
    [record] = traced(made, made.corpus / "shards", capsys)
    assert (record["what"], record["of"]) == ("part of a corpus", corpus)


def test_what_nobody_knows_is_said(made: SmallCorpus, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.jpg"
    stranger.write_bytes(small_corpus.photo(99))
    for what in ("0" * 32, stranger, "no such thing", "x" * 300):
        with pytest.raises(InputError, match="not found in"):
            trace(what=str(what), results=made.results)


def test_a_corpus_that_changed_since_is_not_what_the_model_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    manifest = made.corpus / "shards/g000/train/manifest.parquet"
    manifest.write_bytes((made.corpus / "shards/g000/val/manifest.parquet").read_bytes())
    [record] = traced(made, "demo", capsys)
    assert record["corpora"].endswith("which is not here as it was")


def asked(made: SmallCorpus, photo: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed; the exit status says the same."""
    status = 0
    try:
        trained_on(photo=photo, results=made.results)
    except SystemExit as left:
        status = int(str(left.code))
    told = capsys.readouterr().out
    assert status == (0 if ": yes, " in told else 1 if says(told, "no model") else 3)
    return told


def test_a_photo_is_recognised_by_its_bytes(made: SmallCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    told = asked(made, made.photos[0], capsys)
    assert "yes, demo" in told
    assert f"identical bytes: image {made.uuids[0]} of small:" in told
    assert "kept for train" in told


def test_a_photo_stays_what_a_model_saw_when_the_corpus_grows_or_mends_its_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    shutil.copytree(made.corpus / "shards/g000/val", made.corpus / "shards/g001/train")
    with (made.corpus / "taxonomy/labels.parquet").open("ab") as labels:
        labels.write(b" ")
    assert "yes, demo" in asked(made, made.photos[0], capsys)
    manifest = made.corpus / "shards/g000/train/manifest.parquet"
    manifest.write_bytes((made.corpus / "shards/g000/val/manifest.parquet").read_bytes())
    assert says(asked(made, made.photos[0], capsys), "not everything is known")


def test_a_copy_is_recognised_by_its_looks(
    made: SmallCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(small_corpus.photo(1, quality=75))
    told = asked(made, copy, capsys)
    assert "yes, demo" in told
    assert "similar image (" in told
    assert made.uuids[1] in told
    assert made.uuids[0] not in told


def test_neither_held_out_nor_left_out_nor_strange_photos_were_trained_on(
    made: SmallCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = asked(made, made.photos[2], capsys)
    assert says(held_out, "no model")
    assert "kept for val" in held_out
    assert "left out: duplicate" in asked(made, made.photos[3], capsys)
    stranger = tmp_path / "stranger.jpg"
    stranger.write_bytes(small_corpus.photo(99))
    assert asked(made, stranger, capsys) == f"{stranger}: no model here was trained on it\n"
    stranger.write_bytes(b"no image")
    with pytest.raises(InputError, match="not a readable image"):
        trained_on(photo=stranger, results=made.results)


def test_a_photo_is_recognised_by_its_looks_also_where_its_own_bytes_were_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    content = small_corpus.photo(1, quality=75)
    made.photos[3].write_bytes(content)
    table = made.corpus / "download/g000.parquet"
    rows = read_rows(table, GATHERED_DOWNLOADS).to_pylist()
    rows[3] |= {"md5": hashlib.md5(content).hexdigest(), "pdq": pdq(decode(content))}
    write_rows(rows, GATHERED_DOWNLOADS, table)
    told = asked(made, made.photos[3], capsys)
    assert "yes, demo" in told
    assert f"identical bytes: image {made.uuids[3]}" in told
    assert f"256 bits differ): image {made.uuids[1]}" in told


def test_what_a_pinned_shard_holds_was_trained_on_whatever_is_decided_since(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    table = made.corpus / "curate/g000/verdicts.parquet"
    rows = read_rows(table, VERDICTS).to_pylist()
    rows[0] |= {"keep": False, "split": None, "reason": "licence"}
    write_rows(rows, VERDICTS, table)
    told = asked(made, made.photos[0], capsys)
    assert "yes, demo" in told
    assert "left out: licence" in told
    [record] = traced(made, made.photos[0], capsys)
    assert record["models trained on it"] == ["demo"]


def take_down(made: SmallCorpus) -> None:
    """As a takedown leaves the tables: neither downloads nor verdicts nor shards tell of the first photo any more."""
    table = made.corpus / "download/g000.parquet"
    rows = read_rows(table, GATHERED_DOWNLOADS).to_pylist()
    md5 = rows[0]["md5"]
    rows[0] |= {"status": "refused", "error": "taken_down", "md5": None, "pdq": None}
    write_rows(rows, GATHERED_DOWNLOADS, table)
    shards = made.corpus / "shards/g000/train"
    index = read_rows(shards / "index.parquet", SHARD_INDEX).to_pylist()
    write_rows(index[1:], SHARD_INDEX, shards / "index.parquet")
    tar = {"shard": "shard-000000.tar", "samples": 1, "bytes": 1, "sha256": "b" * 64}
    write_rows([tar], SHARD_MANIFEST, shards / "manifest.parquet")
    gone = {"uuid": made.uuids[0], "md5": md5, "generation": 0, "split": "train", "date": "2026-11-30", "reason": "x"}
    write_rows([gone], LEDGER, made.results / "ledgers/small.parquet")


def keep_ledgers(made: SmallCorpus) -> None:
    with connect() as connection:
        keep_all(connection, Layout(str(made.results)).held("small"), layout.Corpus(str(made.corpus)))


def test_no_takedown_and_no_loss_of_the_corpus_changes_what_a_model_was_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    keep_ledgers(made)
    take_down(made)
    keep_ledgers(made)
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(small_corpus.photo(0, quality=75))
    for photo in (made.photos[0], copy):
        told = asked(made, photo, capsys)
        assert "yes, demo" in told
        assert says(told, made.uuids[0], "taken down on 2026-11-30")
    assert "yes, demo" in asked(made, made.photos[1], capsys)
    assert says(asked(made, made.photos[2], capsys), "no model")
    [record] = traced(made, made.uuids[0], capsys)
    assert record["models trained on it"] == ["demo"]
    assert record["taken down"]["date"] == "2026-11-30"
    shutil.rmtree(made.corpus)
    assert "yes, demo" in asked(made, made.photos[0], capsys)
    assert says(asked(made, made.photos[2], capsys), "no model")
    [record] = traced(made, made.photos[1], capsys)
    assert (record["uuid"], record["models trained on it"]) == (made.uuids[1], ["demo"])


def test_a_ledger_is_written_once_and_holds_each_shard_once(tmp_path: Path) -> None:
    made = small_corpus.make(tmp_path)
    keep_ledgers(made)
    held = Layout(str(made.results)).held("small")
    before = {path: path.read_bytes() for path in (*held.images.found(), *held.manifest.found())}
    [manifest] = held.manifest.found()
    assert sha256_file(manifest) == manifest.name.partition(".")[0]
    shutil.copytree(made.corpus / "shards/g000/train", made.corpus / "shards/g000/train_small")
    write_rows([], SHARD_MANIFEST, made.corpus / "shards/g000/train/manifest.parquet")
    keep_ledgers(made)
    assert {path: path.read_bytes() for path in before} == before
    assert sum(len(read_rows(path, HELD)) for path in held.images.found()) == 2


def test_of_shards_that_were_rewritten_without_a_ledger_nobody_says_that_a_model_did_not_see_a_photo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    take_down(made)
    told = asked(made, made.photos[0], capsys)
    assert says(told, "not everything is known", "demo", "taken down on 2026-11-30")


def test_a_model_was_trained_on_what_its_starting_weights_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its lineage; by the weights where its start was exported before models had one."""
    made = small_corpus.make(tmp_path)
    child = made.results / "runs/child"
    shutil.copytree(made.run, child)
    parent = json.loads((made.run / "train/summary.json").read_text())["digests"]
    own = parent | {"data": {"biology": [], "replay": None}}
    own["start"] = [sha256_file(made.run / "model/open_clip_model.safetensors")]
    summary = json.loads((child / "train/summary.json").read_text()) | {"digests": own}
    (child / "train/summary.json").write_text(json.dumps(summary))
    (child / "model/open_clip_model.safetensors").write_bytes(b"weights of the child")
    assert "yes, child, demo" in asked(made, made.photos[0], capsys)
    lineage = {"trainings": [{"name": "child", **own}, {"name": "demo", **parent}]}
    (child / "model/lineage.json").write_text(json.dumps(lineage))
    keep_ledgers(made)
    shutil.rmtree(made.run)
    assert "yes, child" in asked(made, made.photos[0], capsys)
    trained_on(photo=made.photos[0], results=made.results, json_lines=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["answer"], told["models"], told["unknown"]) == ("yes", ["child"], {})


def test_where_a_model_saw_tars_from_elsewhere_too_nobody_says_that_it_did_not_see_a_photo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    summary = json.loads((made.run / "train/summary.json").read_text())
    summary["digests"]["data"]["biology"].append({"train": ["f" * 64], "weight": None})
    (made.run / "train/summary.json").write_text(json.dumps(summary))
    assert "yes, demo" in asked(made, made.photos[0], capsys)
    assert says(asked(made, made.photos[3], capsys), "not everything is known")


def test_a_replay_pair_is_recognised_where_the_model_was_trained_on_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    photo = tmp_path / "replayed.jpg"
    photo.write_bytes(small_corpus.photo(50))
    manifest = small_corpus.add_replay(made, photo)
    told = asked(made, photo, capsys)
    assert says(told, "no model", "a replay pair for train")
    summary = json.loads((made.run / "train/summary.json").read_text())
    summary["digests"]["data"]["replay"] = {"train": [sha256_file(manifest)]}
    (made.run / "train/summary.json").write_text(json.dumps(summary))
    assert "yes, demo" in asked(made, photo, capsys)
