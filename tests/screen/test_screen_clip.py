"""Judge `clip`: each selected image gets its nearest class once, despite interruptions."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from tests.screen.conftest import Downloaded, noise
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.clip import encode_image, load, preprocess
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.config.screen import UNJUDGED, ClipJudge
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.stored_images import StoredImages
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import CATALOG, DOWNLOADS, FINDINGS
from workflow_scripts.screen import judging
from workflow_scripts.screen.classes import make_classes
from workflow_scripts.screen.clip import judge_by_class
from workflow_scripts.screen.embeddings import read_embeddings
from workflow_scripts.screen.gather import gather

REAL = os.environ.get("TREEOFLIFE_REAL_DATA")
SUPPORT_SETS = sorted(Path(REAL, "real", "support_sets").glob("*.safetensors")) if REAL else []


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Random class embeddings: one class of three vectors, two of one."""
    random = np.random.default_rng(5)
    vectors = {
        name: random.normal(size=16).astype(np.float32) for name in ("label/0", "label/1", "label/2", "plant", "sky")
    }
    save_file(vectors, tmp_path / "classes.safetensors")
    return tmp_path / "classes.safetensors"


def judge(
    corpus: Downloaded, model: str, classes: Path, *, name: str = "museum", of: str = "true", **more: Any
) -> None:
    judge_by_class(model=model, classes=classes, group=corpus.group(name, of=of, **more))


def test_each_image_gets_the_nearest_class_by_cosine(corpus: Downloaded, model: str, classes: Path) -> None:
    judge(corpus, model, classes, of="img_type LIKE 'Museum%'")
    clip, embeddings = load(model), read_embeddings(classes)
    found = corpus.findings("museum")
    assert [row["uuid"] for row in found] == [f"u{part}{n:02d}" for part in (0, 1) for n in range(1, 24, 2)]
    for row in found:
        if row["uuid"] == "u107":
            assert (row["label"], row["score"]) == (UNJUDGED, None)
            assert row["error"]
            continue
        pixels = noise(100 * int(row["uuid"][1]) + int(row["uuid"][2:]))
        with Image.open(io.BytesIO(pixels)) as image:
            features = encode_image(clip, preprocess(clip)(image.convert("RGB"))[None])[0].numpy()
        cosines = embeddings.vectors_KD @ features / np.linalg.norm(features)
        assert row["label"] == embeddings.labels[int(cosines.argmax())]
        assert row["score"] == pytest.approx(cosines.max(), abs=1e-5)
    account = read_account(corpus.group("museum").account)
    assert (account.rows_in, account.kept, account.dropped) == (24, 23, {UNJUDGED: 1})


@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (7, 2)])
def test_neither_batch_nor_workers_change_a_byte(
    corpus: Downloaded, model: str, classes: Path, batch: int, workers: int
) -> None:
    judge(corpus, model, classes)
    judge(corpus, model, classes, name="again", limits=EmbedLimits(batch=batch, workers=workers))
    rows = [{key: value for key, value in row.items() if key != "judge"} for row in corpus.findings("again")]
    assert rows == [{key: value for key, value in row.items() if key != "judge"} for row in corpus.findings("museum")]


def test_judged_images_are_not_judged_again(
    corpus: Downloaded, model: str, classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(corpus, model, classes, of="img_type LIKE 'Museum%'")
    before = [path.read_bytes() for path in sorted((corpus.folder / "screen").rglob("*.parquet"))]
    read: list[str] = []
    original = StoredImages.read
    monkeypatch.setattr(
        StoredImages, "read", lambda self, stored: (read.append(stored.uuid), original(self, stored))[1]
    )
    judge(corpus, model, classes, of="img_type LIKE 'Museum%'")
    assert not read
    assert before == [path.read_bytes() for path in sorted((corpus.folder / "screen").rglob("*.parquet"))]
    # A wider predicate, and an image that was fetched later and another one that was fetched anew.
    downloads = read_rows(corpus.manifest(0), DOWNLOADS).to_pylist()
    downloads[1]["md5"] = "other"
    corpus.write(0, _catalog(corpus, 0), downloads)
    judge(corpus, model, classes, of="img_type LIKE 'Museum%' OR uuid = 'u000'")
    assert sorted(read) == ["u000", "u001"]
    assert len(corpus.findings("museum")) == 25
    # Fewer images are selected: the others' findings stay out of the table.
    read.clear()
    judge(corpus, model, classes, of="uuid = 'u000'")
    assert not read
    assert [row["uuid"] for row in corpus.findings("museum")] == ["u000"]


def _catalog(corpus: Downloaded, part: int) -> list[dict[str, Any]]:
    return read_rows(corpus.catalog(part), CATALOG).to_pylist()


def test_a_killed_judge_goes_on_after_its_last_chunk(corpus: Downloaded, model: str, classes: Path) -> None:
    judge(corpus, model, classes, name="whole")
    group = corpus.group("killed")
    words = [f"{word}" for key in ("parts", "manifests") for word in (f"--{key}", *getattr(group, key))]
    words += ["--name", "killed", "--of", "true", "--model", model, "--classes", str(classes)]
    words += [f"--{key.replace('_', '-')}={getattr(group, key)}" for key in ("out_dir", "account", "work")]
    # Small chunks, each slow enough for the job to be killed during it.
    program = (
        "import time; from workflow_scripts.screen import judging, clip; from workflow_scripts.common.cli import run; "
        "judging.CHUNK = 8; write = judging.tables.write_rows; "
        "judging.tables.write_rows = lambda *given: (write(*given), time.sleep(0.4)); run(clip.judge_by_class)"
    )
    running = subprocess.Popen([sys.executable, "-c", program, *words], stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while len(list(group.work.rglob("chunk-*.parquet"))) < 2 and running.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        running.send_signal(signal.SIGKILL)
        running.communicate()
    assert not group.account.exists()
    kept = {path: path.stat().st_mtime_ns for path in group.work.rglob("chunk-*.parquet")}
    assert kept
    # One chunk was truncated.
    lost = min(kept)
    lost.write_bytes(lost.read_bytes()[:60])
    judge(corpus, model, classes, name="killed")
    for name in ("whole", "killed"):
        assert [{**row, "judge": ""} for row in corpus.findings(name)] == [
            {**row, "judge": ""} for row in corpus.findings("whole")
        ]


def test_gathering_counts_every_image_and_finds_a_missing_part(corpus: Downloaded, model: str, classes: Path) -> None:
    judge(corpus, model, classes)
    folder = corpus.folder / "screen" / "museum"
    parts = tuple(folder / f"part-{part:04d}.parquet" for part in (0, 1))
    where = {"out": folder / "g000.parquet", "account": folder / "g000.account.json"}
    gather(name="museum", groups=(corpus.group("museum").account,), findings=parts, **where)
    assert read_account(where["account"]).dropped == {UNJUDGED: 1}
    assert read_rows(where["out"], FINDINGS).num_rows == 48
    with pytest.raises(InputError, match="48"):
        gather(name="museum", groups=(corpus.group("museum").account,), findings=parts[:1], **where)


def test_support_images_become_centres_and_find_their_like(tmp_path: Path, model: str) -> None:
    for label, seeds in (("dark", range(7)), ("light", range(7, 10))):
        folder = tmp_path / "support" / label
        folder.mkdir(parents=True)
        for seed in seeds:
            level = 30 if label == "dark" else 220
            pixels = np.full((40, 40, 3), level, np.uint8) + np.random.default_rng(seed).integers(
                0, 20, (40, 40, 3)
            ).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{seed}.png")
    settings = ClipJudge(judge="clip", model=model, classes=str(tmp_path / "support"), clusters=4)
    for name in ("one", "two"):
        make_classes(settings=settings, model=model, out=tmp_path / f"{name}.safetensors")
    made = read_embeddings(tmp_path / "one.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    # Seven images in four centres, three as they are.
    assert (made.labels.count("dark"), made.labels.count("light")) == (4, 3)
    clip = load(model)
    new = torch.stack([preprocess(clip)(Image.new("RGB", (40, 40), (level,) * 3)) for level in (38, 228)])
    assert [label for label, _ in made.nearest(encode_image(clip, new).numpy())] == ["dark", "light"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"page/1.jpg": noise(1)}, "support: .*two.*found 1"),
        ({"page/1.jpg": noise(1), "plant/1.jpg": noise(2)[:200]}, "plant/1.jpg: support image cannot be read"),
        ({"page/1.jpg": noise(1), "plant/1.jpg": noise(2), "sky/note.txt": b"none"}, "sky: no image"),
    ],
)
def test_an_invalid_support_set_is_refused(tmp_path: Path, model: str, files: dict[str, bytes], said: str) -> None:
    for name, content in files.items():
        (tmp_path / "support" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "support" / name).write_bytes(content)
    settings = ClipJudge(judge="clip", model=model, classes=str(tmp_path / "support"))
    with pytest.raises(InputError, match=said):
        make_classes(settings=settings, model=model, out=tmp_path / "classes.safetensors")


def test_prompts_become_the_mean_of_their_features(tmp_path: Path, model: str) -> None:
    settings = ClipJudge(judge="clip", model=model, prompts={"bird": ["a bird", "birds"], "text": ["a page of text"]})
    make_classes(settings=settings, model=model, out=tmp_path / "classes.safetensors")
    made = read_embeddings(tmp_path / "classes.safetensors")
    assert made.labels == ("bird", "text")
    np.testing.assert_allclose(np.linalg.norm(made.vectors_KD, axis=1), 1, atol=1e-6)


@pytest.mark.skipif(not SUPPORT_SETS, reason="left out: TREEOFLIFE_REAL_DATA is not set")
def test_the_published_support_sets_give_what_a_matrix_product_gives() -> None:
    assert len(SUPPORT_SETS) == 9
    features = np.random.default_rng(0).normal(size=(300, 768)).astype(np.float32)
    for path in SUPPORT_SETS:
        raw = load_file(path)
        names = list(raw)
        matrix = np.stack([raw[name] / np.linalg.norm(raw[name].astype(np.float64)) for name in names]).astype(
            np.float64
        )
        cosines = (features / np.linalg.norm(features, axis=1, keepdims=True)) @ matrix.T
        found = read_embeddings(path, 768).nearest(features)
        for row, (label, cosine) in zip(cosines, found, strict=True):
            assert cosine == pytest.approx(row.max(), abs=1e-5)
            best = names[int(row.argmax())]
            assert label == (best.rpartition("/")[0] if best.rpartition("/")[2].isdigit() else best)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ({"a": np.zeros(8, np.float32)}, "16 dimensions.*8.*`model`"),
        ({"a": np.zeros(16, np.float32), "b": np.zeros(8, np.float32)}, "one length"),
        ({"a": np.full(16, np.nan, np.float32)}, "not finite"),
        ({}, "no class"),
    ],
)
def test_unusable_embeddings_are_refused(
    corpus: Downloaded, model: str, tmp_path: Path, vectors: dict[str, np.ndarray], said: str
) -> None:
    path = tmp_path / "bad.safetensors"
    save_file(vectors, path)
    with pytest.raises(InputError, match=f"bad.safetensors.*{said}"):
        judge(corpus, model, path)


def test_a_damaged_tar_is_named(corpus: Downloaded, model: str, classes: Path) -> None:
    tar = corpus.manifest(0).parent / "images-00001.tar"
    tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"images-00001\.tar"):
        judge(corpus, model, classes)
    assert judging.CHUNK > 24
