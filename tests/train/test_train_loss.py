"""Loss and gradients of several processes equal those of one that holds the whole batch."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from tests.train.processes import CONTEXT, join
from workflow_scripts.common import clip
from workflow_scripts.common.config.train import ModelSettings, TrainSettings
from workflow_scripts.train.forward import Forward
from workflow_scripts.train.loss import contrastive_losses
from workflow_scripts.train.model import TwoProjectorClip, starting_model
from workflow_scripts.train.ranks import Ranks

BIOLOGY, REPLAY, SIZE = 8, 4, 32
SETTINGS = TrainSettings(epochs=1, global_batch=BIOLOGY, replay_batch=REPLAY, precision="fp32", allow_cpu=True)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """A global batch of random images and captions: uint8 [B, S, S, 3], int32 [B, L]."""
    chance = torch.Generator().manual_seed(1)
    count = BIOLOGY + REPLAY
    images = torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8, generator=chance)
    tokens = torch.randint(1, 1000, (count, 32), dtype=torch.int32, generator=chance)
    return images, tokens


def model_of(start: Path, settings: ModelSettings) -> tuple[TwoProjectorClip, clip.Clip]:
    """The starting model with a second projector that differs from the first."""
    loaded = clip.load(f"local-dir:{start}")
    model = starting_model(loaded, settings, SETTINGS, second_projector=True)
    assert model.replay_projector is not None
    with torch.no_grad():
        model.replay_projector.mul_(-0.5)
    return model, loaded


def symmetric(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """CLIP's loss as in the pseudocode of its paper."""
    logits = scale * images @ texts.T
    target = torch.arange(len(images))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def on_one_process(start: Path, settings: ModelSettings) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model, loaded = model_of(start, settings)
    images, tokens = batch()
    pixels = clip.normalised(images, loaded.mean, loaded.std)
    pooled = model.clip.visual(pixels)
    texts = F.normalize(model.clip.encode_text(tokens.long()), dim=-1)
    biology = F.normalize(pooled[:BIOLOGY] @ model.proj, dim=-1)
    replay = F.normalize(pooled[BIOLOGY:] @ model.replay_projector, dim=-1)
    scale = model.logit_scale.exp()
    losses = torch.stack([symmetric(biology, texts[:BIOLOGY], scale), symmetric(replay, texts[BIOLOGY:], scale)])
    losses.sum().backward()
    return losses.detach(), gradients(model)


def gradients(model: TwoProjectorClip) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def one_rank(*, rank: int, size: int, most: int | None, start: Path, settings: ModelSettings, folder: Path) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), size)
    ranks = Ranks(rank, size, rank, size, store)
    with ranks.process_group():
        model, loaded = model_of(start, settings)
        forward = Forward(model, loaded, SETTINGS, ranks, most)
        counts = [BIOLOGY // size, REPLAY // size]
        forward.settle_buckets(counts)
        images, tokens = batch()
        mine = torch.cat(
            [
                torch.arange(rank * counts[0], (rank + 1) * counts[0]),
                BIOLOGY + torch.arange(rank * counts[1], (rank + 1) * counts[1]),
            ]
        )
        losses = forward.backward(images[mine], tokens[mine], counts)
        assert losses is not None
        mean = losses / size
        if size > 1:
            dist.all_reduce(mean)
        torch.save({"losses": mean, "gradients": gradients(model)}, folder / f"rank{rank}.pt")


@pytest.mark.parametrize(("size", "most"), [(1, None), (2, None), (4, None), (1, 5), (1, 1), (2, 4), (4, 2)])
def test_any_number_of_ranks_and_microbatches_gives_the_loss_and_gradients_of_the_global_batch(
    size: int, most: int | None, start: Path, model_settings: ModelSettings, tmp_path: Path
) -> None:
    losses, expected = on_one_process(start, model_settings)
    given = {"size": size, "most": most, "start": start, "settings": model_settings, "folder": tmp_path}
    children = [CONTEXT.Process(target=one_rank, kwargs={"rank": rank, **given}) for rank in range(size)]
    for child in children:
        child.start()
    join(children)
    for rank in range(size):
        found = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        torch.testing.assert_close(found["losses"], losses, rtol=1e-6, atol=1e-6)
        assert found["gradients"].keys() == expected.keys()
        for name, gradient in expected.items():
            # Microbatches round sums differently: the tolerance is relative to the gradient's largest element.
            difference = (found["gradients"][name] - gradient).abs().max()
            assert difference <= 5e-6 * max(1.0, float(gradient.abs().max())), name


def test_the_projectors_start_equal_and_learn_from_their_own_dataset_only(
    start: Path, model_settings: ModelSettings, tmp_path: Path
) -> None:
    for taught, untaught, row in (("proj", "replay_projector", 0), ("replay_projector", "proj", 1)):
        loaded = clip.load(f"local-dir:{start}")
        model = starting_model(loaded, model_settings, SETTINGS, second_projector=True)
        assert torch.equal(model.proj, model.replay_projector)
        ranks = Ranks(0, 1, 0, 1, dist.HashStore())
        images, tokens = batch()
        features = Forward(model, loaded, SETTINGS, ranks).features(images, tokens, BIOLOGY)
        contrastive_losses(*features, [BIOLOGY, REPLAY])[row].backward()
        found = dict(model.named_parameters())
        assert found[taught].grad.abs().max() > 0
        other = found[untaught].grad
        assert other is None or other.abs().max() == 0


def test_a_random_second_projector_is_random_and_reproducible(start: Path) -> None:
    drawn = []
    for _ in range(2):
        loaded = clip.load(f"local-dir:{start}")
        settings = ModelSettings(architecture="ViT-B-16", replay_projector_from="random")
        model = starting_model(loaded, settings, SETTINGS, second_projector=True)
        assert model.replay_projector is not None
        drawn.append(model.replay_projector.detach())
        assert not torch.equal(model.proj, model.replay_projector)
    assert torch.equal(*drawn)
