"""Schedule, optimiser, text types, captions, images, samples, metrics."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workflow_scripts.common import clip
from workflow_scripts.common.captions import TEXT_TYPES, Taxon, caption
from workflow_scripts.common.config.train import ModelSettings, TrainLimits, TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import SHARD_INDEX
from workflow_scripts.train import images, samples, texts
from workflow_scripts.train.data import TrainingData
from workflow_scripts.train.job import Job
from workflow_scripts.train.loader import Batch, Batches, make_loader
from workflow_scripts.train.loop import timed
from workflow_scripts.train.metrics import Metrics
from workflow_scripts.train.model import starting_model
from workflow_scripts.train.optimizer import make_optimizer
from workflow_scripts.train.ranks import Ranks
from workflow_scripts.train.schedule import lr_at

SETTINGS = TrainSettings(epochs=2, global_batch=8, replay_batch=4, precision="fp32", allow_cpu=True, shuffle_window=3)


def job_of(corpus, start: Path, settings: TrainSettings = SETTINGS) -> Job:
    model = ModelSettings(architecture="ViT-B-16")
    data = TrainingData((corpus.biology,), corpus.replay, settings)
    return Job(start, model, settings, TrainLimits(), data)


def ranks_of(rank: int = 0, size: int = 1) -> Ranks:
    return Ranks(rank, size, rank, size, dist.HashStore())


@pytest.fixture
def batches_of(corpus, start: Path, tmp_path: Path) -> Callable[..., Batches]:
    tokenizer = clip.load(f"local-dir:{start}").tokenizer

    def make(rank: int = 0, size: int = 1, source=corpus) -> Batches:
        data = job_of(source, start).data
        data.prepare(tmp_path)
        datasets = data.datasets("train", tmp_path, tokenizer, size)
        return Batches(datasets, size=32, types=SETTINGS.text_types, seed=SETTINGS.seed, ranks=ranks_of(rank, size))

    return make


def test_the_schedule_warms_up_linearly_and_decays_to_zero_as_a_cosine() -> None:
    rates = [lr_at(step, peak=1.0, warmup=10, total=110) for step in range(111)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.5)
    assert rates[35] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert rates[110] == pytest.approx(0.0)


def test_norms_biases_vectors_and_temperature_are_not_decayed(start: Path, model_settings: ModelSettings) -> None:
    model = starting_model(clip.load(f"local-dir:{start}"), model_settings, SETTINGS, second_projector=True)
    groups = make_optimizer(model, SETTINGS).param_groups
    decayed, others = sorted(groups, key=lambda group: group["weight_decay"], reverse=True)
    assert decayed["weight_decay"] == 0.2
    assert others["weight_decay"] == 0.0
    names = {id(p): name for name, p in model.named_parameters()}
    plain = {names[id(p)] for p in others["params"]}
    heavy = {names[id(p)] for p in decayed["params"]}
    assert plain | heavy == set(names.values())
    assert {"proj", "replay_projector", "clip.token_embedding.weight", "clip.text_projection"} <= heavy
    assert {"clip.logit_scale", "clip.visual.class_embedding", "clip.ln_final.weight"} <= plain
    assert not [name for name in heavy if "ln_" in name or "bias" in name]


def test_the_text_type_depends_on_seed_and_step_alone_and_all_come_up() -> None:
    drawn = [texts.text_type_at(step, 42, TEXT_TYPES) for step in range(200)]
    assert drawn == [texts.text_type_at(step, 42, TEXT_TYPES) for step in range(200)]
    assert set(drawn) == set(TEXT_TYPES)
    assert drawn != [texts.text_type_at(step, 43, TEXT_TYPES) for step in range(200)]
    assert {texts.text_type_at(step, 1, ["taxon"]) for step in range(9)} == {"taxon"}


def test_captions_are_written_from_the_labels(corpus, start: Path, tmp_path: Path) -> None:
    texts.write_label_names(corpus.labels, tmp_path)
    tokenizer = clip.load(f"local-dir:{start}").tokenizer
    written = texts.LabelTexts(tmp_path, tokenizer)
    ids = [value.decode() for value in written.ids]
    assert ids == sorted(ids)
    taxon = Taxon(("Formae", "Planae", "", "", "", "Circle", "green"), "Circle green", "green circle")
    green = next(label for label in ids if written.taxon(label) == taxon)
    for text_type in TEXT_TYPES:
        expected = tokenizer([caption(taxon, text_type)])[0].numpy()
        assert np.array_equal(written.tokens((green,), text_type), expected)
    with pytest.raises(InputError, match="no label"):
        written.taxon("ffff")


def test_a_recipe_may_write_captions_as_treeoflife_10m_does(make_corpus, start: Path, tmp_path: Path) -> None:
    corpus = make_corpus()
    labels = pq.read_table(corpus.labels)
    for rank in ("genus", "species"):
        labels = labels.set_column(labels.column_names.index(rank), rank, pa.nulls(len(labels), pa.string()))
    pq.write_table(labels, corpus.labels)
    tokenizer = clip.load(f"local-dir:{start}").tokenizer
    data = job_of(corpus, start, SETTINGS.model_copy(update={"captions": "treeoflife10m"})).data
    data.prepare(tmp_path)
    biology, _ = data.datasets("train", tmp_path, tokenizer, 1)
    found = biology.texts[0].tokens((labels["label_id"][0].as_py(),), "sci")
    assert np.array_equal(found, tokenizer(["a photo of ."])[0].numpy())


def test_templates_name_columns_that_the_index_carries(corpus, start: Path, tmp_path: Path) -> None:
    texts.write_label_names(corpus.labels, tmp_path)
    tokenizer = clip.load(f"local-dir:{start}").tokenizer
    templates = {"stage": "a photo of {com}[, {sex}][, {lifeStage}]."}
    written = texts.LabelTexts(tmp_path, tokenizer, templates)
    assert written.columns == ("label_id", "lifeStage", "sex")
    folder = shutil.copytree(corpus.shards / "train", tmp_path / "train")
    index = pq.read_table(folder / "index.parquet")
    stages = pa.array([None if number % 2 else "larva" for number in range(len(index))], pa.string())
    pq.write_table(index.append_column("lifeStage", stages), folder / "index.parquet")
    reader = samples.SampleReader(samples.list_shards([folder], SHARD_INDEX), [written.columns], 1)
    for row, ending in ((0, ", larva."), (1, ".")):
        key = reader.text_key(0, row, "stage")
        assert key == (index["label_id"][row].as_py(), None if row else "larva", None)
        named = written.taxon(str(key[0])).common
        expected = tokenizer([f"a photo of {named}{ending}"])[0].numpy()
        assert np.array_equal(written.tokens(key, "stage"), expected)


@given(height=st.integers(1, 300), width=st.integers(1, 300), least=st.floats(0.05, 1.0), seed=st.integers(0, 2**31))
def test_a_random_crop_is_within_the_image_and_the_area_range(height: int, width: int, least: float, seed: int) -> None:
    top, left, high, wide = images.random_crop(height, width, (least, 1.0), np.random.default_rng(seed))
    assert high > 0 and wide > 0
    assert top >= 0 and top + high <= height
    assert left >= 0 and left + wide <= width
    if min(height, width) > 50 and 3 / 4 < width / height < 4 / 3:
        # Rounding to pixels changes the area slightly; the fallback for such an image is all of it.
        assert high * wide >= (least - 0.05) * height * width


def test_the_centre_crop_is_the_largest_square() -> None:
    assert images.centre_crop(100, 60) == (20, 0, 60, 60)
    assert images.centre_crop(60, 101) == (0, 20, 60, 60)


@pytest.mark.parametrize(("height", "width"), [(540, 720), (256, 256), (300, 180), (448, 448), (1000, 333)])
def test_shrinking_gives_the_picture_that_evaluation_sees(height: int, width: int) -> None:
    # Noise has all frequencies: without antialiasing, the high ones would appear as false detail.
    noise = np.random.default_rng(0).integers(64, 192, (height, width, 3), dtype=np.uint8)
    box = top, left, high, wide = images.random_crop(height, width, (0.9, 1.0), np.random.default_rng(1))
    cut = Image.fromarray(noise).crop((left, top, left + wide, top + high))
    square = np.empty((224, 224, 3), np.uint8)
    images.resize(noise, box, square)
    assert np.abs(square.astype(int) - np.asarray(cut.resize((224, 224), Image.Resampling.BICUBIC))).max() <= 2


def test_a_header_that_claims_a_huge_image_is_not_decoded() -> None:
    import simplejpeg

    small = simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    frame = small.index(b"\xff\xc0")
    lying = small[: frame + 5] + (60_000).to_bytes(2, "big") * 2 + small[frame + 9 :]
    with pytest.raises(ValueError, match="60000 x 60000"):
        images.decode(lying)


def equal(one: Batch, other: Batch) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.tokens, other.tokens) and one[2:] == other[2:]


def test_batches_are_the_same_for_any_workers_and_start(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of()
    expected = [batches[step] for step in range(8)]
    for workers in (0, 3):
        found = list(make_loader(batches_of(), range(3, 8), workers, pin=False))
        assert len(found) == 5
        assert all(equal(a, b) for a, b in zip(found, expected[3:], strict=True))


def test_ranks_share_the_global_batch_and_its_text_type(batches_of: Callable[..., Batches]) -> None:
    whole = batches_of()[2]
    one, other = (batches_of(rank, 2)[2] for rank in (0, 1))
    assert one.text_type == other.text_type == whole.text_type
    biology, replay = 4, 2
    joined = [one.images[:biology], other.images[:biology], one.images[biology:], other.images[biology:]]
    assert torch.equal(torch.cat(joined), whole.images)
    assert len(one.images) == biology + replay


def test_an_epoch_trains_on_the_indexed_uuids(corpus, batches_of: Callable[..., Batches]) -> None:
    import pyarrow.parquet as pq

    biology = batches_of().datasets[0]
    seen = []
    for position in range(len(biology.stream)):
        shard, row = biology.stream.locate(position)
        seen.append(biology.reader.rows(shard).uuids[row].as_py())
    assert sorted(seen) == sorted(pq.read_table(corpus.shards / "train" / "index.parquet")["uuid"].to_pylist())


def test_a_broken_sample_is_replaced_named_and_moves_no_other(make_corpus, batches_of: Callable[..., Batches]) -> None:
    corpus = make_corpus()
    before = [batches_of(source=corpus)[step] for step in range(5)]
    biology = batches_of(source=corpus).datasets[0]
    shard, row = biology.stream.locate(11)
    rows, tar = biology.reader.rows(shard), biology.reader.shards[shard].tar
    data = bytearray(tar.read_bytes())
    offset, size = int(rows.offsets[row]), int(rows.sizes[row])
    data[offset : offset + size] = bytes(size)
    tar.write_bytes(data)
    after = [batches_of(source=corpus)[step] for step in range(5)]
    assert [sample.uuid for batch in after for sample in batch.broken] == [rows.uuids[row].as_py()]
    for step, (one, other) in enumerate(zip(before, after, strict=True)):
        moved = [n for n in range(12) if not torch.equal(one.images[n], other.images[n])]
        assert moved == ([3] if step == 1 else [])
    assert all(equal(a, batches_of(source=corpus)[step]) for step, a in enumerate(after))


def test_missing_tars_are_an_os_error_and_not_bad_input(make_corpus, batches_of: Callable[..., Batches]) -> None:
    corpus = make_corpus()
    batches = batches_of(source=corpus)
    for tar in (corpus.shards / "train").glob("*.tar"):
        tar.unlink()
    with pytest.raises(OSError, match=r"\b100 samples.*No such file"):
        batches[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_samples_are_one_line_with_and_without_workers(
    workers: int, make_corpus, batches_of: Callable[..., Batches]
) -> None:
    corpus = make_corpus()
    batches = batches_of(source=corpus)
    for tar in (corpus.shards / "train").glob("*.tar"):
        tar.write_bytes(bytes(tar.stat().st_size))
    said = ""
    # pytest.raises would keep the traceback, and so the loader and its worker, alive.
    try:
        next(timed(make_loader(batches, range(1), workers, pin=False)))
    except InputError as error:
        said = str(error)
    assert re.fullmatch(r".*\b100 samples.*", said)


TRAINER = """
from torch.utils.data import Dataset

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.train.loader import make_loader
from workflow_scripts.train.loop import timed


class Unreadable(Dataset):
    def __getitem__(self, step: int) -> int:
        if step == 3:
            raise InputError("nothing is readable")
        return step


def train(*, workers: int) -> None:
    for _ in timed(make_loader(Unreadable(), range(9), workers, pin=False)):
        pass


if __name__ == "__main__":
    run(train)
"""


def test_a_trainer_exits_after_an_error_in_a_worker(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINER)
    done = subprocess.run(
        [sys.executable, tmp_path / "train.py", "--workers", "2", "--log", tmp_path / "log"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "error: nothing is readable\n")


def test_a_tar_of_another_size_than_the_manifest_says_is_refused(make_corpus, start: Path) -> None:
    corpus = make_corpus()
    tar = corpus.shards / "train" / "shard-000001.tar"
    with tar.open("ab") as file:
        file.write(bytes(10))
    with pytest.raises(InputError, match=r"shard-000001\.tar: .*\d+ bytes.*`snakemake verify"):
        job_of(corpus, start).check(ranks_of())


def test_missing_and_nameless_labels_are_refused(make_corpus, start: Path) -> None:
    from workflow_scripts.common import tables
    from workflow_scripts.contracts import LABELS

    corpus = make_corpus()
    rows = tables.read_rows(corpus.labels, LABELS).to_pylist()
    tables.write_rows(rows[1:], LABELS, corpus.labels)
    with pytest.raises(InputError, match=f"label {rows[0]['label_id']}"):
        job_of(corpus, start).check(ranks_of())


def test_training_on_the_cpu_is_refused_unless_allowed(corpus, start: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    settings = SETTINGS.model_copy(update={"allow_cpu": False})
    with pytest.raises(InputError, match=r"train\.allow_cpu: true"):
        job_of(corpus, start, settings).check(ranks_of())
    job_of(corpus, start, settings.model_copy(update={"allow_cpu": True})).check(ranks_of())


def test_several_nodes_are_refused_on_one_machine(corpus, start: Path) -> None:
    job = job_of(corpus, start)
    with pytest.raises(InputError, match=r"limits\.train\.nodes is 2"):
        replace(job, limits=TrainLimits(nodes=2)).check(ranks_of())
    replace(job, limits=TrainLimits(nodes=1)).check(ranks_of())


def test_metrics_after_the_resumed_step_and_incomplete_lines_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (1, 2, 3, 4)) + '{"step": 5, "lo')
    metrics = Metrics(path, steps=2)
    metrics.add({"step": 3, "loss": 1 / 3})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1},
        {"step": 2},
        {"step": 3, "loss": 0.333333},
    ]
