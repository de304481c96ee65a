"""Files of the workflow, and photos from elsewhere, are traced to their origin and to the models trained on them."""

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
from workflow_scripts.common.images import decode, pdq
from workflow_scripts.common.layout import Layout
from workflow_scripts.common.past_images import keep_all
from workflow_scripts.common.tables import connect, read_rows, write_rows
from workflow_scripts.contracts import GATHERED_DOWNLOADS, LEDGER, PAST_IMAGES, SHARD_INDEX, SHARD_MANIFEST, VERDICTS
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


def test_the_named_byte_range_is_the_image(made: SmallCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    [record] = traced(made, made.uuids[1], capsys)
    shard, _, span = record["shard"]["in"].partition(", bytes ")
    start, _, end = span.partition(" to ")
    content = (made.corpus / "shards" / shard).read_bytes()[int(start) : int(end)]
    assert content == small_corpus.photo(1, 60)


def test_images_left_out_or_in_validation_trained_no_model(
    made: SmallCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_a_printed_id_is_found_for_a_corpus_in_capitals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_any_file_in_the_folder_of_a_run_or_corpus_belongs_to_it(
    made: SmallCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_unknown_things_are_named(made: SmallCorpus, tmp_path: Path) -> None:
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
    assert "changed" in record["corpora"]


def answer(made: SmallCorpus, photo: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The printed text, after checking the exit status."""
    status = 0
    try:
        trained_on(photo=photo, results=made.results)
    except SystemExit as left:
        status = int(str(left.code))
    printed = capsys.readouterr().out
    assert status == (0 if ": yes, " in printed else 1 if says(printed, "no model") else 3)
    return printed


def test_a_photo_is_recognised_by_its_bytes(made: SmallCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    printed = answer(made, made.photos[0], capsys)
    assert "yes, demo" in printed
    assert f"identical bytes: image {made.uuids[0]} of small:" in printed
    assert "kept for train" in printed


def test_a_photo_stays_what_a_model_saw_when_the_corpus_grows_or_mends_its_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    shutil.copytree(made.corpus / "shards/g000/val", made.corpus / "shards/g001/train")
    with (made.corpus / "taxonomy/labels.parquet").open("ab") as labels:
        labels.write(b" ")
    assert "yes, demo" in answer(made, made.photos[0], capsys)
    manifest = made.corpus / "shards/g000/train/manifest.parquet"
    manifest.write_bytes((made.corpus / "shards/g000/val/manifest.parquet").read_bytes())
    assert says(answer(made, made.photos[0], capsys), "not fully known")


def test_a_copy_is_recognised_by_its_perceptual_hash(
    made: SmallCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(small_corpus.photo(1, quality=75))
    printed = answer(made, copy, capsys)
    assert "yes, demo" in printed
    assert "similar image (" in printed
    assert made.uuids[1] in printed
    assert made.uuids[0] not in printed


def test_validation_left_out_and_unknown_photos_were_not_trained_on(
    made: SmallCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = answer(made, made.photos[2], capsys)
    assert says(held_out, "no model")
    assert "kept for val" in held_out
    assert "left out: duplicate" in answer(made, made.photos[3], capsys)
    stranger = tmp_path / "stranger.jpg"
    stranger.write_bytes(small_corpus.photo(99))
    assert answer(made, stranger, capsys) == f"{stranger}: no model here was trained on it\n"
    stranger.write_bytes(b"no image")
    with pytest.raises(InputError, match="not a readable image"):
        trained_on(photo=stranger, results=made.results)


def test_a_photo_is_recognised_by_its_perceptual_hash_if_its_own_bytes_were_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    content = small_corpus.photo(1, quality=75)
    made.photos[3].write_bytes(content)
    table = made.corpus / "download/g000.parquet"
    rows = read_rows(table, GATHERED_DOWNLOADS).to_pylist()
    rows[3] |= {"md5": hashlib.md5(content).hexdigest(), "pdq": pdq(decode(content))}
    write_rows(rows, GATHERED_DOWNLOADS, table)
    printed = answer(made, made.photos[3], capsys)
    assert "yes, demo" in printed
    assert f"identical bytes: image {made.uuids[3]}" in printed
    assert f"256 bits differ): image {made.uuids[1]}" in printed


def test_images_in_a_pinned_shard_were_trained_on_despite_later_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    table = made.corpus / "curate/g000/verdicts.parquet"
    rows = read_rows(table, VERDICTS).to_pylist()
    rows[0] |= {"keep": False, "split": None, "reason": "licence"}
    write_rows(rows, VERDICTS, table)
    printed = answer(made, made.photos[0], capsys)
    assert "yes, demo" in printed
    assert "left out: licence" in printed
    [record] = traced(made, made.photos[0], capsys)
    assert record["models trained on it"] == ["demo"]


def take_down(made: SmallCorpus) -> None:
    """Remove the first photo from downloads, verdicts and shards, as a takedown does."""
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
        keep_all(connection, Layout(str(made.results)).past_images("small"), layout.Corpus(str(made.corpus)))


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
        printed = answer(made, photo, capsys)
        assert "yes, demo" in printed
        assert says(printed, made.uuids[0], "taken down on 2026-11-30")
    assert "yes, demo" in answer(made, made.photos[1], capsys)
    assert says(answer(made, made.photos[2], capsys), "no model")
    [record] = traced(made, made.uuids[0], capsys)
    assert record["models trained on it"] == ["demo"]
    assert record["taken down"]["date"] == "2026-11-30"
    shutil.rmtree(made.corpus)
    assert "yes, demo" in answer(made, made.photos[0], capsys)
    assert says(answer(made, made.photos[2], capsys), "no model")
    [record] = traced(made, made.photos[1], capsys)
    assert (record["uuid"], record["models trained on it"]) == (made.uuids[1], ["demo"])


def test_a_ledger_is_written_once_and_holds_each_shard_once(tmp_path: Path) -> None:
    made = small_corpus.make(tmp_path)
    keep_ledgers(made)
    past = Layout(str(made.results)).past_images("small")
    before = {path: path.read_bytes() for path in (*past.images.found(), *past.manifest.found())}
    [manifest] = past.manifest.found()
    assert sha256_file(manifest) == manifest.name.partition(".")[0]
    shutil.copytree(made.corpus / "shards/g000/train", made.corpus / "shards/g000/train_small")
    write_rows([], SHARD_MANIFEST, made.corpus / "shards/g000/train/manifest.parquet")
    keep_ledgers(made)
    assert {path: path.read_bytes() for path in before} == before
    assert sum(len(read_rows(path, PAST_IMAGES)) for path in past.images.found()) == 2


def test_the_answer_is_unknown_for_shards_rewritten_without_a_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    take_down(made)
    printed = answer(made, made.photos[0], capsys)
    assert says(printed, "demo", "not fully known", "taken down on 2026-11-30")


def test_a_model_was_trained_on_what_its_starting_weights_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its lineage file, or by the starting weights if the start was exported without one."""
    made = small_corpus.make(tmp_path)
    child = made.results / "runs/child"
    shutil.copytree(made.run, child)
    parent = json.loads((made.run / "train/summary.json").read_text())["digests"]
    own = parent | {"data": {"biology": [], "replay": None}}
    own["start"] = [sha256_file(made.run / "model/open_clip_model.safetensors")]
    summary = json.loads((child / "train/summary.json").read_text()) | {"digests": own}
    (child / "train/summary.json").write_text(json.dumps(summary))
    (child / "model/open_clip_model.safetensors").write_bytes(b"weights of the child")
    assert "yes, child, demo" in answer(made, made.photos[0], capsys)
    lineage = {"trainings": [{"name": "child", **own}, {"name": "demo", **parent}]}
    (child / "model/lineage.json").write_text(json.dumps(lineage))
    keep_ledgers(made)
    shutil.rmtree(made.run)
    assert "yes, child" in answer(made, made.photos[0], capsys)
    trained_on(photo=made.photos[0], results=made.results, json_lines=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["answer"], printed["models"], printed["unknown"]) == ("yes", ["child"], {})


def test_the_answer_is_unknown_for_a_model_trained_on_tars_from_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    summary = json.loads((made.run / "train/summary.json").read_text())
    summary["digests"]["data"]["biology"].append({"train": ["f" * 64], "weight": None})
    (made.run / "train/summary.json").write_text(json.dumps(summary))
    assert "yes, demo" in answer(made, made.photos[0], capsys)
    assert says(answer(made, made.photos[3], capsys), "not fully known")


def test_a_replay_pair_is_recognised_if_the_model_was_trained_on_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_corpus.make(tmp_path)
    photo = tmp_path / "replayed.jpg"
    photo.write_bytes(small_corpus.photo(50))
    manifest = small_corpus.add_replay(made, photo)
    printed = answer(made, photo, capsys)
    assert says(printed, "no model", "a replay pair for train")
    summary = json.loads((made.run / "train/summary.json").read_text())
    summary["digests"]["data"]["replay"] = {"train": [sha256_file(manifest)]}
    (made.run / "train/summary.json").write_text(json.dumps(summary))
    assert "yes, demo" in answer(made, photo, capsys)
