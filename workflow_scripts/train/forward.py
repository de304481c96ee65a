"""Losses and gradients of a batch: on the device, in the recipe's precision, over all ranks.

Shapes: B pairs of this rank, S pixels a side, L tokens, D embedding dimensions.
"""

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from workflow_scripts.common.clip import Clip, normalised
from workflow_scripts.common.config.train import TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.train.layer_depths import is_block
from workflow_scripts.train.loss import contrastive_losses, losses_among
from workflow_scripts.train.model import TwoProjectorClip
from workflow_scripts.train.ranks import Ranks, summed

logger = logging.getLogger(__name__)

# Of a GPU's memory, what NCCL and cuBLAS take besides.
SPARE = 0.05

Features = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Forward:
    """The model as the ranks run it together.

    Args:
        model: on this rank's device.
        start: the starting weights' preprocessing.
        settings: precision, checkpointing and compilation.
        ranks: this process among the others.
        most: pairs that go through the model at once; None for all. More are taken by microbatch.
    """

    def __init__(
        self, model: TwoProjectorClip, start: Clip, settings: TrainSettings, ranks: Ranks, most: int | None = None
    ) -> None:
        self.model = model
        self.start = start
        self.settings = settings
        self.ranks = ranks
        self.device = ranks.device
        self.most = most
        if settings.grad_checkpointing:
            model.clip.set_grad_checkpointing(True)
        if settings.compile:
            # Each block by itself: those of a tower are alike and compiled once, and their gradients come one after
            # another, so that DDP sums the last ones' while the first ones' are computed.
            for name, module in model.named_modules():
                if is_block(name):
                    module.compile()
        device_ids = [ranks.local_rank] if self.device.type == "cuda" else None
        # Nothing in the model that is not trained changes, so there are no buffers to send around.
        self.parallel: torch.nn.Module = (
            DistributedDataParallel(
                model, device_ids=device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True
            )
            if ranks.size > 1
            else model
        )

    def features(self, images: torch.Tensor, tokens: torch.Tensor, biology: int, *, train: bool = True) -> Features:
        """Image features [b, D], text features [b, D] and the inverse temperature.

        Args:
            images: uint8 [b, S, S, 3].
            tokens: int32 [b, L].
            biology: how many of the first images go through the first projector, the others through the second.
            train: whether this is a forward that gradients are sent back through, and added up over ranks.
        """
        model = self.parallel if train else self.model
        pixels = normalised(images.to(self.device, non_blocking=True), self.start.mean, self.start.std)
        if self.settings.precision == "pure_bf16":
            pixels = pixels.bfloat16()
        with self._autocast():
            found: Features = model(pixels, tokens.to(self.device, non_blocking=True).long(), biology)
        return found

    @torch.no_grad()
    def embed(self, images: torch.Tensor, tokens: torch.Tensor, biology: int) -> Features:
        """`features` of however many pairs, without gradients and by microbatch."""
        found = [
            self.features(images[rows], tokens[rows], _within(rows, biology), train=False)
            for rows in split(len(images), self.most)
        ]
        image_BD, text_BD = (torch.cat(side) for side in list(zip(*found, strict=True))[:2])
        return image_BD, text_BD, found[0][2]

    @torch.no_grad()
    def embed_texts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Text features [b, D] of length 1 and in fp32, of int32 [b, L], without gradients and by microbatch."""
        tokens = tokens.to(self.device).long()
        with self._autocast():
            found = [self.model.clip.encode_text(tokens[rows]) for rows in split(len(tokens), self.most)]
        return F.normalize(torch.cat(found).float(), dim=-1)

    def backward(
        self,
        images: torch.Tensor,
        tokens: torch.Tensor,
        parts: Sequence[int],
        *,
        seed: Callable[[int], None] = lambda microbatch: None,
        stops: Callable[[], bool] = lambda: False,
    ) -> torch.Tensor | None:
        """This rank's loss of each part; their gradients are added up in the parameters.

        The means over ranks are the global batch's, in however many microbatches a rank takes its pairs. With several,
        all features are computed first and the loss over them, and then each microbatch again, for the loss's gradient
        to go back through (gradient caching, Gao et al. 2021, https://arxiv.org/abs/2101.06983).

        Args:
            images: uint8 [B, S, S, 3].
            tokens: int32 [B, L].
            parts: pairs a part on this rank, summing to B; the first part has the first projector.
            seed: called with a microbatch's number before that microbatch goes through the model.
            stops: asked between microbatches whether to give the step up; all ranks get the same answer.

        Returns:
            The losses, or None when the step was given up; the gradients are of no use then.
        """
        microbatches = split(sum(parts), self.most)
        if len(microbatches) == 1:
            seed(0)
            losses = contrastive_losses(*self.features(images, tokens, parts[0]), parts)
            losses.sum().backward()
            return losses.detach()

        cached = []
        for number, rows in enumerate(microbatches):
            if stops():
                return None
            seed(number)
            with torch.no_grad():
                cached.append(self.features(images[rows], tokens[rows], _within(rows, parts[0]), train=False))
        image_BD, text_BD = (torch.cat(side).requires_grad_() for side in list(zip(*cached, strict=True))[:2])
        scale = cached[0][2].requires_grad_()
        losses = contrastive_losses(image_BD, text_BD, scale, parts)
        losses.sum().backward()
        assert image_BD.grad is not None and text_BD.grad is not None and scale.grad is not None

        for number, rows in enumerate(microbatches):
            if stops():
                return None
            seed(number)
            # Only the last microbatch's backward sums over ranks, what all microbatches added up.
            with self._without_sum() if number < len(microbatches) - 1 else nullcontext():
                features = self.features(images[rows], tokens[rows], _within(rows, parts[0]))
                torch.autograd.backward(
                    features, [image_BD.grad[rows], text_BD.grad[rows], scale.grad / len(microbatches)]
                )
        return losses.detach()

    def fit(self, parts: Sequence[int], reserve: int) -> None:
        """Take fewer pairs at once, half as many each time, until a step fits the memory of every rank's device.

        Each rank rehearses the step by itself: in a real one the others would wait for a rank that ran out of memory.

        Args:
            parts: pairs a part on this rank.
            reserve: bytes that the optimiser has still to take.

        Raises:
            InputError: not even one pair fits.
        """
        count = sum(parts)
        while summed([not self._fits(parts, reserve)], self.ranks)[0]:
            most = _largest(count, self.most)
            if most == 1:
                raise InputError(
                    "not even one pair fits the GPU's memory: set train.grad_checkpointing or train.tune_blocks, or "
                    "take more processes or a smaller model"
                )
            self.most = (most + 1) // 2
            if self.ranks.is_main:
                logger.warning("%d pairs at once do not fit the GPU's memory; trying %d", most, self.most)

    def _fits(self, parts: Sequence[int], reserve: int) -> bool:
        fits = True
        try:
            self._rehearse(parts, reserve)
        except torch.OutOfMemoryError:
            fits = False
        self.model.zero_grad()
        torch.cuda.empty_cache()
        return fits

    def _rehearse(self, parts: Sequence[int], reserve: int) -> None:
        """Take as much memory as a step does, and a little more, without a word to other ranks."""
        count = sum(parts)
        most = _largest(count, self.most)
        if self.device.type == "cuda":
            reserve += int(SPARE * torch.cuda.get_device_properties(self.device).total_memory)
        if most < count and self.parallel is self.model:
            # The microbatches before have left their gradients; DDP keeps room for its own from the start.
            reserve += sum(parameter.nbytes for parameter in self.model.parameters() if parameter.requires_grad)
        taken = torch.empty(reserve, dtype=torch.uint8, device=self.device)
        images, tokens = self._blank(most)
        micro_image, micro_text, scale = self.features(images, tokens, _within(slice(0, most), parts[0]), train=False)
        image_BD, text_BD = (side.repeat(math.ceil(count / most), 1)[:count] for side in (micro_image, micro_text))
        all_R2BD = torch.stack([image_BD, text_BD]).expand(self.ranks.size, -1, -1, -1)
        losses_among(image_BD, text_BD, all_R2BD, rank=self.ranks.rank, scale=scale, parts=parts).sum().backward()
        del taken

    def settle(self, parts: Sequence[int]) -> None:
        """Run two throw-away backward passes.

        DDP sorts its gradient buckets anew after its first one, and with other buckets more than two ranks add up in
        another order: a resumed run would differ from an undisturbed one in the last bits.
        """
        if self.parallel is self.model:
            return
        rows = split(sum(parts), self.most)[0]
        images, tokens = self._blank(rows.stop)
        for _ in range(2):
            image_BD, text_BD, scale = self.features(images, tokens, _within(rows, parts[0]))
            (image_BD.sum() + text_BD.sum() + scale).backward()
            self.parallel.zero_grad()

    def _blank(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        size = self.start.image_size
        images = torch.zeros(count, size, size, 3, dtype=torch.uint8)
        return images, torch.zeros(count, self.start.context_length, dtype=torch.int32)

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16")

    def _without_sum(self) -> AbstractContextManager[None]:
        return self.parallel.no_sync() if isinstance(self.parallel, DistributedDataParallel) else nullcontext()


def split(count: int, most: int | None) -> list[slice]:
    """Consecutive microbatches of a batch of `count` pairs, as equal as can be, none larger than `most`."""
    microbatches = 1 if most is None else math.ceil(count / most)
    return [
        slice(count * number // microbatches, count * (number + 1) // microbatches) for number in range(microbatches)
    ]


def _largest(count: int, most: int | None) -> int:
    """Pairs of the largest microbatch that `split` makes."""
    return math.ceil(count / len(split(count, most)))


def _within(rows: slice, biology: int) -> int:
    """How many of `rows` are among the first `biology` of their batch."""
    return max(0, min(rows.stop, biology) - rows.start)
