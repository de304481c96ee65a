"""Exports of a trained model: averaging, BioCLIP 2 checkpoint, species texts, model card."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.messages import says
from workflow_scripts.common import clip, open_clip_models, tables
from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.config.train import CorpusShards, ExportSettings, TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.layout import Layout
from workflow_scripts.common.prompts import TEMPLATES, class_weights, text_features
from workflow_scripts.contracts import (
    ATTRIBUTION,
    LABELS,
    LEDGER,
    PAST_IMAGES,
    PROVIDER_LABELS,
    SHARD_INDEX,
    SHARD_MANIFEST,
)
from workflow_scripts.train.card import citations, taken_down, write_card
from workflow_scripts.train.data import TrainingData
from workflow_scripts.train.export import export
from workflow_scripts.train.species_texts import species_texts

SETTINGS = TrainSettings(epochs=6.0, global_batch=8)


@pytest.fixture(scope="module")
def trained(corpus, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a training whose weights differ from the starting weights by a known amount."""
    folder = tmp_path_factory.mktemp("trained")
    weights = load_file(start / open_clip_models.WEIGHTS_FILE)
    for name, change in (("model", 1.0), ("best", 0.5)):
        changed = {key: value + change if value.is_floating_point() else value for key, value in weights.items()}
        changed["replay_projector"] = weights["visual.proj"] + 2 * change
        save_file(changed, folder / f"{name}.safetensors")
    summary = {
        "steps": 30,
        "samples": 240,
        "replay_samples": 120,
        "parameters": 1000,
        "skipped": 1,
        "broken_samples": [],
        "last": {"epoch": 6.0, "loss": 1.5, "logit_scale": 14.0},
        "best": {"step": 20, "loss": 1.2},
        "model": {"architecture": "tiny"},
        "settings": {"seed": 42, "epochs": 6.0, "global_batch": 8},
        "digests": {"data": TrainingData((corpus.biology,), None, SETTINGS).digests(), "start": [], "code": "c0de"},
        "versions": {"torch": "2", "commit": "c0117"},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        (ExportSettings(), 1.0),
        (ExportSettings(weights="best"), 0.5),
        (ExportSettings(start_share=0.25), 0.75),
        (ExportSettings(weights="best", start_share=0.5), 0.25),
    ],
)
def test_the_weights_are_the_last_or_the_best_and_averaged_with_the_start(
    settings: ExportSettings, change: float, trained: Path, start: Path, tmp_path: Path
) -> None:
    export(trained=trained, start=start, settings=settings, out=tmp_path)
    before, after = (
        load_file(start / open_clip_models.WEIGHTS_FILE),
        load_file(tmp_path / open_clip_models.WEIGHTS_FILE),
    )
    assert before.keys() == after.keys()
    for name, value in before.items():
        if value.is_floating_point():
            torch.testing.assert_close(after[name], value + change)
    second = load_file(tmp_path / open_clip_models.REPLAY_PROJECTOR_FILE)["replay_projector"]
    torch.testing.assert_close(second, before["visual.proj"] + 2 * change)


def test_the_checkpoint_for_bioclip_2_holds_the_second_projector_in_the_visual_tower(
    trained: Path, start: Path, tmp_path: Path
) -> None:
    export(trained=trained, start=start, settings=ExportSettings(), out=tmp_path)
    export(trained=trained, start=start, settings=ExportSettings(), out=tmp_path / "again")
    assert (tmp_path / "again/bioclip2.pt").read_bytes() == (tmp_path / "bioclip2.pt").read_bytes()
    saved = torch.load(tmp_path / "bioclip2.pt", weights_only=True)
    expected = load_file(trained / "model.safetensors")
    assert torch.equal(saved["state_dict"].pop("visual.continual_proj"), expected.pop("replay_projector"))
    assert saved["state_dict"].keys() == expected.keys()
    # open_clip, and BioCLIP 2's code for `--pretrained`, read it as they read BioCLIP 2's own.
    model = open_clip_models.build(json.loads((tmp_path / open_clip_models.CONFIG_FILE).read_text()))
    second = open_clip_models.load_weights(model, tmp_path / "bioclip2.pt")
    assert second is not None
    assert torch.equal(model.visual.proj, expected["visual.proj"])


def test_a_model_with_unknown_settings_or_tensors_is_refused_in_one_line(start: Path, tmp_path: Path) -> None:
    described = json.loads((start / open_clip_models.CONFIG_FILE).read_text())
    weights = load_file(start / open_clip_models.WEIGHTS_FILE)
    unknown = {**described["model_cfg"], "vision_cfg": {**described["model_cfg"]["vision_cfg"], "wdith": 8}}
    open_clip_models.save_model(tmp_path / "unknown", {**described, "model_cfg": unknown}, weights, None)
    # BioCAP's checkpoints have a second projector, and a second temperature, for captions.
    biocap = {
        **weights,
        "visual.caption_proj": weights["visual.proj"] + 1,
        "caption_logit_scale": weights["logit_scale"] + 1,
    }
    open_clip_models.save_model(tmp_path / "biocap", described, biocap, None)
    for folder, parts in (("unknown", ("vision_cfg.wdith", "width")), ("biocap", ("visual.caption_proj", "BioCAP"))):
        with pytest.raises(InputError) as error:
            clip.load(f"local-dir:{tmp_path / folder}")
        assert says(str(error.value), str(tmp_path / folder), *parts) and "\n" not in str(error.value)


def test_a_model_names_what_it_and_its_start_were_trained_on(trained: Path, start: Path, tmp_path: Path) -> None:
    own = json.loads((trained / "summary.json").read_text())["digests"]
    older = {"name": "older", "data": {"biology": [{"train": ["a" * 64]}], "replay": None}, "start": [], "code": "1"}
    began = tmp_path / "start"
    shutil.copytree(start, began)
    (began / "lineage.json").write_text(json.dumps({"trainings": [older]}))
    export(trained=trained, start=began, settings=ExportSettings(), out=tmp_path / "model")
    first, second = json.loads((tmp_path / "model/lineage.json").read_text())["trainings"]
    assert (first["data"], first["start"], second) == (own["data"], own["start"], older)


def test_the_card_counts_training_images_that_were_taken_down(trained: Path, tmp_path: Path) -> None:
    data = json.loads((trained / "summary.json").read_text())["digests"]["data"]
    older = {"name": "older", "data": {"biology": [{"train": ["a" * 64, "b" * 64]}], "replay": None}}
    lineage = tmp_path / "lineage.json"
    lineage.write_text(json.dumps({"trainings": [{"name": "own", "data": data}, older]}))
    past = Layout(str(tmp_path)).past_images("birds")
    for digest, tar, uuids in ((data["biology"][0]["train"][0], "1", "xy"), ("a" * 64, "2", "z"), ("c" * 64, "3", "w")):
        shard = {"shard": "shard-000000.tar", "samples": len(uuids), "bytes": 1, "sha256": tar * 64}
        tables.write_rows([shard], SHARD_MANIFEST, Path(past.manifest(of="g000", digest=digest)))
        images = [{"sha256": tar * 64, "uuid": uuid} for uuid in uuids]
        tables.write_rows(images, PAST_IMAGES, Path(past.images(of="g000", digest=digest)))
    ledger = tmp_path / "ledgers/birds.parquet"
    tables.write_rows([{"uuid": uuid, "date": "2026-11-30", "reason": "x"} for uuid in "wxz"], LEDGER, ledger)
    summary = json.loads((trained / "summary.json").read_text())
    told = taken_down(summary, lineage, [ledger])
    assert says(told, "birds", "1 images", "this model", "birds", "1 images", "`older`")
    assert taken_down(summary, lineage, []) == ""


def test_pybioclip_classifies_with_the_export(trained: Path, start: Path, tmp_path: Path) -> None:
    bioclip = pytest.importorskip("bioclip")
    export(trained=trained, start=start, settings=ExportSettings(start_share=0.9), out=tmp_path)
    labels = ["Circle red", "Square blue", "Ring green"]
    classifier = bioclip.CustomLabelsClassifier(labels, model_str=f"local-dir:{tmp_path}")
    chance = np.random.default_rng(0)
    image = Image.fromarray(chance.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    found = {row["classification"]: row["score"] for row in classifier.predict([image])}

    loaded = clip.load(f"local-dir:{tmp_path}")
    features = F.normalize(clip.encode_image(loaded, clip.preprocess(loaded)(image)[None]), dim=-1)
    templates = open_clip_models.open_clip.OPENAI_IMAGENET_TEMPLATES
    texts = [clip.encode_text(loaded, [template(label) for template in templates]) for label in labels]
    weights = F.normalize(torch.stack([F.normalize(text, dim=-1).mean(0) for text in texts]), dim=-1)
    expected = (loaded.model.logit_scale.exp() * features @ weights.T).softmax(-1)[0]
    assert [found[label] for label in labels] == pytest.approx(expected.tolist(), abs=1e-4)


def test_species_texts_have_pybioclips_layout(corpus, start: Path, tmp_path: Path) -> None:
    species_texts(model=start, labels=corpus.labels, templates="caption", memory_mb=512, out=tmp_path)
    names = json.loads((tmp_path / "txt_emb_species.json").read_text())
    columns = np.load(tmp_path / "txt_emb_species.npy")
    assert columns.shape == (16, 12) and columns.dtype == np.float32
    assert [names[0], len(names)] == [[["Formae", "Planae", "", "", "", "Circle", "blue"], "blue circle"], 12]
    assert names == sorted(names)
    loaded = clip.load(f"local-dir:{start}")
    caption = "a photo of Formae Planae Circle blue with common name blue circle."
    expected = F.normalize(clip.encode_text(loaded, [caption]), dim=-1)[0]
    np.testing.assert_allclose(columns[:, 0], expected.numpy(), atol=1e-6)
    # Bit-identical to the classifier weights of evaluation.
    named = [Taxon(tuple(ranks), common_name=common).taxonomic_with_common for ranks, common in names]
    np.testing.assert_array_equal(columns.T, class_weights(named, TEMPLATES[:1], partial(text_features, loaded)))

    species_texts(model=start, labels=corpus.labels, templates="openai", memory_mb=512, out=tmp_path)
    several = np.load(tmp_path / "txt_emb_species.npy")
    np.testing.assert_allclose(np.linalg.norm(several, axis=0), 1, atol=1e-6)
    assert not np.allclose(several, columns, atol=1e-3)


def test_a_species_with_several_labels_appears_once_with_its_commonest_name_and_family(
    start: Path, tmp_path: Path
) -> None:
    def label(
        number: int, genus: str | None, common: str | None, images: int, family: str | None = "Corvidae"
    ) -> dict[str, object]:
        taxon = {"kingdom": "Animalia", "family": family, "genus": genus, "species": "hudsonia" if genus else None}
        found = {"match_type": "exact", "strategy": "exact", "confidence": 1.0, "images": images}
        return {"label_id": f"{number:016x}", **taxon, "common_name": common, **found}

    rows = [
        label(1, "Pica", "magpie", 3),
        label(2, "Pica", "black-billed magpie", 7),
        label(3, "Pica", None, 9),
        label(5, "Pica", None, 8, family="Laridae"),
        label(4, None, "an animal", 5),
    ]
    tables.write_rows(rows, LABELS, tmp_path / "labels.parquet")
    species_texts(model=start, labels=tmp_path / "labels.parquet", templates="caption", memory_mb=512, out=tmp_path)
    names = json.loads((tmp_path / "txt_emb_species.json").read_text())
    assert names == [[["Animalia", "", "", "", "Corvidae", "Pica", "hudsonia"], "black-billed magpie"]]


def test_species_texts_are_of_the_generations_that_were_trained_on(corpus, start: Path, tmp_path: Path) -> None:
    labels = [tmp_path / f"g00{number}.parquet" for number in range(2)]
    with tables.connect() as connection:
        known = connection.execute(f"SELECT label_id FROM {tables.scan(corpus.labels)} ORDER BY label_id").fetchall()
    for path, ids in zip(labels, (known[:5], known[5:]), strict=True):
        tables.write_rows([{"label_id": label_id, "images": 1} for (label_id,) in ids], PROVIDER_LABELS, path)

    def named(*trained_on: Path) -> list[object]:
        texts = {"model": start, "labels": corpus.labels, "templates": "caption", "memory_mb": 512, "out": tmp_path}
        species_texts(**texts, trained_on=trained_on)
        return list(json.loads((tmp_path / "txt_emb_species.json").read_text()))

    assert named(*labels) == named()
    first, second = named(labels[0]), named(labels[1])
    assert first and second and sorted(first + second) == named()


def test_the_card_says_how_it_was_trained_how_it_scores_and_what_to_cite(
    corpus, trained: Path, start: Path, tmp_path: Path
) -> None:
    settings = ExportSettings(weights="best", start_share=0.25)
    export(trained=trained, start=start, settings=settings, out=tmp_path / "model")
    score = {"benchmark": "rare_species", "model": "demo", "protocol": "corrected", "n_images": 8, "n_classes": 4}
    score |= {"metrics": {"zero_shot/top1": 0.5677}}
    (tmp_path / "score.json").write_text(json.dumps(score))
    images = [
        {"uuid": f"{number}", "data_source": "gbif", "source_url": "http://a/b", "cite": cite}
        for number, cite in enumerate(["doi:10.1/x", "doi:10.1/x", None])
    ]
    tables.write_rows(images, ATTRIBUTION, tmp_path / "attribution.parquet")
    known = {"name": "shapes", "id": "shapes:1dea", "digest": "1dea11", "species": 12}
    known |= {"shards": 1, "bytes": 3000, "taxa": 12}
    known |= {"images": {"train": 40, "val": 8}, "replay_pairs": {"train": 0, "val": 0}}
    (tmp_path / "corpus.json").write_text(json.dumps(known))

    def card_about(about: CorpusShards) -> str:
        write_card(
            trained=trained,
            model=tmp_path / "model",
            settings=settings,
            title="A model",
            out=tmp_path / "README.md",
            scores=(tmp_path / "score.json",),
            attributions=(tmp_path / "attribution.parquet",),
            identity=tmp_path / "corpus.json",
            corpora=(about,),
        )
        return (tmp_path / "README.md").read_text()

    card = card_about(corpus.biology)
    assert card.startswith("---") and "# A model" in card
    assert says(card, "weights of step 20", "starting weights", "0.25")
    assert "| rare_species | zero_shot/top1 | 0.5677 |" in card
    assert "- doi:10.1/x (2 images)" in card
    assert sha256_file(corpus.labels) in card and '"code": "c0de"' in card and '"commit": "c0117"' in card
    assert says(card, "corpus `shapes:1dea`, 40 images of 12 species. ", "digest", "`1dea11`")
    # A tenth of the images was trained on.
    index = [{"uuid": "1", "shard": "s", "position": 0, "offset": 0, "size": 1, "label_id": "0"}]
    tables.write_rows(index, SHARD_INDEX, tmp_path / "index.parquet")
    assert "- doi:10.1/x (1 images)" in citations([tmp_path / "attribution.parquet"], [tmp_path / "index.parquet"])
    # A corpus with other names is not the one that the model was trained on.
    labels = tables.read_rows(corpus.labels, LABELS).to_pylist()
    tables.write_rows([{**row, "common_name": "mended"} for row in labels], LABELS, tmp_path / "labels.parquet")
    card = card_about(corpus.biology.model_copy(update={"labels": str(tmp_path / "labels.parquet")}))
    assert says(card, "`shapes` has changed") and "shapes:1dea" not in card
    assert says(card, "bioclip2.pt", "--pretrained")
