"""Options of a recipe: tuning the last blocks, layer-wise learning rates, recomputation, compilation, validation."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.messages import says
from workflow_scripts.common import clip
from workflow_scripts.common.config.train import ModelSettings, TrainSettings, ValidationShards
from workflow_scripts.common.errors import InputError
from workflow_scripts.shards.export_reference_layout import export_reference_layout
from workflow_scripts.train.data import TrainingData
from workflow_scripts.train.forward import Forward
from workflow_scripts.train.index_tars import index_tars
from workflow_scripts.train.layer_depths import layer_depths
from workflow_scripts.train.model import starting_model
from workflow_scripts.train.optimizer import freeze, make_optimizer, set_lr
from workflow_scripts.train.ranks import Ranks
from workflow_scripts.train.validation import own_text_nearest, validate, zero_shot

SETTINGS = TrainSettings(epochs=2, global_batch=8, replay_batch=4, precision="fp32", allow_cpu=True)
ALONE = Ranks(0, 1, 0, 1, dist.HashStore())


@pytest.fixture
def forward_of(start: Path, model_settings: ModelSettings) -> Callable[..., Forward]:
    # Code compiled for other tests counts towards torch's recompilation limit.
    torch.compiler.reset()

    def make(most: int | None = None, **changes) -> Forward:
        settings = SETTINGS.model_copy(update=changes)
        loaded = clip.load(f"local-dir:{start}")
        model = starting_model(loaded, model_settings, settings, second_projector=True)
        freeze(model, settings.tune_blocks)
        return Forward(model, loaded, settings, ALONE, most)

    return make


@pytest.fixture
def compiled_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the backend that modules are compiled with."""

    def choose(backend: str | Callable) -> None:
        compile_with = functools.partialmethod(torch.nn.Module.compile, backend=backend)
        monkeypatch.setattr(torch.nn.Module, "compile", compile_with)

    return choose


def step(forward: Forward) -> dict[str, torch.Tensor | None]:
    """The gradients of a fixed batch, by parameter."""
    chance = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8, generator=chance)
    tokens = torch.randint(1, 1000, (12, 32), dtype=torch.int32, generator=chance)
    assert forward.backward(images, tokens, [8, 4]) is not None
    return {name: parameter.grad for name, parameter in forward.model.named_parameters()}


def test_layer_depths_count_from_each_towers_output() -> None:
    named = {
        "replay_projector": 0,
        "clip.visual.ln_post.weight": 0,
        "clip.visual.transformer.resblocks.11.attn.in_proj_weight": 1,
        "clip.visual.transformer.resblocks.0.mlp.c_fc.bias": 12,
        "clip.visual.conv1.weight": 13,
        "clip.visual.class_embedding": 13,
        "clip.visual.ln_pre.weight": 13,
        "clip.logit_scale": 0,
        "clip.text_projection": 0,
        "clip.ln_final.bias": 0,
        "clip.transformer.resblocks.2.ln_1.weight": 1,
        "clip.transformer.resblocks.0.ln_1.weight": 3,
        "clip.token_embedding.weight": 4,
        "clip.positional_embedding": 4,
    }
    assert layer_depths(named) == named


@pytest.mark.parametrize("blocks", [0, 1])
def test_only_the_last_blocks_and_later_layers_are_trained(blocks: int, forward_of: Callable[..., Forward]) -> None:
    forward = forward_of(tune_blocks=blocks)
    gradients = step(forward)
    trained = {name for name, gradient in gradients.items() if gradient is not None}
    heads = {"proj", "replay_projector", "clip.logit_scale", "clip.text_projection"}
    norms = {f"clip.{norm}.{kind}" for norm in ("visual.ln_post", "ln_final") for kind in ("weight", "bias")}
    # The visual tower has two blocks, the text tower one.
    last = ("clip.visual.transformer.resblocks.1.", "clip.transformer.resblocks.0.")
    within = {name for name in gradients if name.startswith(last)} if blocks else set()
    assert trained == heads | norms | within
    held = {
        id(parameter) for group in make_optimizer(forward.model, SETTINGS).param_groups for parameter in group["params"]
    }
    assert held == {id(p) for name, p in forward.model.named_parameters() if name in trained}


def test_each_layer_has_its_share_of_the_learning_rate(forward_of: Callable[..., Forward]) -> None:
    model = forward_of().model
    optimizer = make_optimizer(model, SETTINGS.model_copy(update={"layer_decay": 0.5}))
    set_lr(optimizer, 0.1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert found["proj"] == found["clip.ln_final.weight"] == pytest.approx(0.1)
    assert found["clip.visual.transformer.resblocks.1.ln_1.weight"] == pytest.approx(0.05)
    assert found["clip.visual.transformer.resblocks.0.ln_1.weight"] == pytest.approx(0.025)
    assert found["clip.visual.conv1.weight"] == pytest.approx(0.0125)
    assert found["clip.token_embedding.weight"] == pytest.approx(0.025)


@pytest.mark.parametrize(
    "changes",
    [
        {"grad_checkpointing": True},
        {"grad_checkpointing": True, "most": 5},
        {"compile": True},
        {"compile": True, "grad_checkpointing": True},
    ],
)
def test_recomputation_and_compilation_change_no_gradient(
    changes: dict, forward_of: Callable[..., Forward], compiled_by: Callable[..., None]
) -> None:
    # aot_eager traces and differentiates as the default backend does, without generating machine code.
    compiled_by("aot_eager")
    expected, found = step(forward_of()), step(forward_of(**changes))
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


def test_generated_machine_code_gives_nearly_the_same_gradients(forward_of: Callable[..., Forward]) -> None:
    expected, found = step(forward_of()), step(forward_of(compile=True))
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-4 * gradient.norm(), name


def test_the_blocks_of_a_tower_are_compiled_once(
    forward_of: Callable[..., Forward], compiled_by: Callable[..., None]
) -> None:
    graphs = []
    compiled_by(lambda graph, inputs: graphs.append(graph) or graph)
    step(forward_of(compile=True))
    # The visual tower has two blocks, the text tower one.
    assert len(graphs) == 2


@pytest.mark.parametrize("precision", ["bf16", "pure_bf16"])
def test_microbatches_in_bf16_give_nearly_the_gradient_of_the_full_batch(
    precision: str, forward_of: Callable[..., Forward]
) -> None:
    expected, found = step(forward_of(precision=precision)), step(forward_of(precision=precision, most=5))
    for name, gradient in expected.items():
        difference = (found[name].float() - gradient.float()).norm()
        assert difference <= 0.05 * max(float(gradient.float().norm()), 1e-3), name


# Ranks that the corpus's labels have.
KNOWN_RANKS = ("kingdom", "phylum", "genus", "species")


@pytest.mark.parametrize("compiled", [False, True])
def test_validation_measures_loss_retrieval_and_zero_shot_also_when_compiled(
    *,
    compiled: bool,
    corpus,
    tmp_path: Path,
    forward_of: Callable[..., Forward],
    compiled_by: Callable[..., None],
) -> None:
    compiled_by("eager")
    forward = forward_of(compile=compiled)
    data = TrainingData((corpus.biology,), corpus.replay, SETTINGS)
    data.prepare(tmp_path)
    held_out = data.datasets("val", tmp_path, forward.start.tokenizer, 1)
    found = validate(forward, held_out, batches=8, classes=1000, text_type="taxon_com", ranks=ALONE)
    assert forward.model.training
    assert found.keys() == {
        *(f"val_{what}_{part}" for what in ("loss", "retrieval") for part in ("biology", "replay")),
        "val_zero_shot",
        *(f"val_rank_{rank}" for rank in KNOWN_RANKS),
    }
    # A prediction that is right at a rank is right at all higher ranks.
    by_rank = [found[f"val_rank_{rank}"] for rank in KNOWN_RANKS]
    assert by_rank == sorted(by_rank, reverse=True)
    assert by_rank[-1] >= found["val_zero_shot"]
    # The val split is one batch of eight images of eight kinds: retrieval among its texts is classification.
    assert found["val_zero_shot"] == found["val_retrieval_biology"]
    assert 0 <= found["val_retrieval_replay"] <= 1
    plain = validate(forward_of(), held_out, batches=8, classes=1000, text_type="taxon_com", ranks=ALONE)
    assert found == pytest.approx(plain, rel=1e-4)
    few = validate(forward, held_out, batches=8, classes=1, text_type="taxon_com", ranks=ALONE)
    assert few["val_zero_shot"] == few["val_rank_species"] == 1.0


def test_a_guess_of_the_right_genus_is_right_at_the_genus() -> None:
    """Two of three species share a genus; one image is predicted as the other species, and one has no genus."""

    class Nearest:
        @staticmethod
        def embed_texts(tokens_CL: torch.Tensor) -> torch.Tensor:
            return torch.eye(3)[tokens_CL[:, 0].long()]

    tokens_BL = torch.tensor([[0, 5], [1, 5], [2, 5], [2, 5]], dtype=torch.int32)
    image_BD = torch.eye(3)[[0, 0, 2, 1]]
    lineage_BR = torch.zeros(4, 7, dtype=torch.int64)
    lineage_BR[:, 5] = torch.tensor([11, 11, 22, 0])
    lineage_BR[:, 6] = torch.tensor([1, 2, 3, 3])
    share, by_rank = zero_shot(Nearest(), image_BD, tokens_BL, lineage_BR, most=9, ranks=ALONE)  # type: ignore[arg-type]
    assert (share, by_rank) == (0.5, {"genus": 1.0, "species": 0.5})


def test_a_further_validation_set_is_measured_as_the_held_out_split_is(
    corpus, tmp_path: Path, forward_of: Callable[..., Forward]
) -> None:
    """The held-out pairs as tars in the published layout give the same metrics."""
    export_reference_layout(shards=corpus.shards / "val", labels=corpus.labels, out_dir=tmp_path / "tars")
    index_tars(tars=str(tmp_path / "tars/*.tar"), work=tmp_path / "work", out_dir=tmp_path / "indexed/val")
    further = ValidationShards(name="treeoflife10m", shards=str(tmp_path / "indexed"))
    forward = forward_of()
    data = TrainingData((corpus.biology,), corpus.replay, SETTINGS, validation=(further,))
    data.check(ranks=1)
    data.prepare(tmp_path)
    assert [dataset.name for dataset in data.datasets("train", tmp_path, forward.start.tokenizer, 1)] == [
        "biology",
        "replay",
    ]
    held_out = data.datasets("val", tmp_path, forward.start.tokenizer, 1)
    found = validate(forward, held_out, batches=8, classes=1000, text_type="taxon_com", ranks=ALONE)
    assert found["val_loss_treeoflife10m"] == pytest.approx(found["val_loss_biology"], rel=1e-3)
    assert found["val_retrieval_treeoflife10m"] == found["val_retrieval_biology"]
    assert found["val_zero_shot_treeoflife10m"] == found["val_zero_shot"]
    templated = SETTINGS.model_copy(update={"templates": {"x": "{sci}"}, "validation_text_type": "x"})
    with pytest.raises(InputError) as error:
        TrainingData((corpus.biology,), corpus.replay, templated, validation=(further,)).check(ranks=1)
    assert says(str(error.value), "train.validation_text_type", " x;", "sci_com")
    (tmp_path / "indexed/val/shard-000000.tar").unlink()
    with pytest.raises(InputError) as error:
        data.check(ranks=1)
    assert says(str(error.value), str(tmp_path / "indexed/val/shard-000000.tar"), "missing")


def test_equal_texts_count_as_one_in_retrieval() -> None:
    images = torch.eye(3)
    texts_ND = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
    tokens = torch.tensor([[7, 7], [7, 7], [8, 8]])
    # The nearest text of the first two images is the other's, which is equal to their own.
    assert own_text_nearest(images, tokens, texts_ND, tokens) == 3
    assert own_text_nearest(images, torch.tensor([[7, 7], [9, 9], [7, 7]]), texts_ND, tokens) == 1
