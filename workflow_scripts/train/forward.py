"""Forward and backward passes of a batch, by microbatch, in the recipe's precision, over all ranks.

Shapes: B pairs of this rank, b pairs of a microbatch, S pixels per side, L tokens, D embedding dimensions.
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
from workflow_scripts.train.ranks import Ranks, sum_over_ranks

logger = logging.getLogger(__name__)

# Share of GPU memory left for NCCL and cuBLAS.
SPARE_MEMORY = 0.05

Features = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Forward:
    """The model, run by all ranks together.

    Args:
        model: on this rank's device.
        start: the starting weights, for their preprocessing.
        settings: precision, gradient checkpointing and compilation.
        ranks: this process and its peers.
        max_pairs: maximum pairs per microbatch; None for no limit.
    """

    def __init__(
        self, model: TwoProjectorClip, start: Clip, settings: TrainSettings, ranks: Ranks, max_pairs: int | None = None
    ) -> None:
        self.model = model
        self.start = start
        self.settings = settings
        self.ranks = ranks
        self.device = ranks.device
        self.max_pairs = max_pairs
        if settings.grad_checkpointing:
            model.clip.set_grad_checkpointing(True)
        if settings.compile:
            # Compile block by block: a tower's blocks are alike and compiled once, and DDP can all-reduce the last
            # blocks' gradients while those of the first are computed.
            for name, module in model.named_modules():
                if is_block(name):
                    module.compile()
        device_ids = [ranks.local_rank] if self.device.type == "cuda" else None
        # The model has no buffers that change in training.
        self.parallel: torch.nn.Module = (
            DistributedDataParallel(
                model, device_ids=device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True
            )
            if ranks.size > 1
            else model
        )

    def features(
        self, images_bSS3: torch.Tensor, tokens_bL: torch.Tensor, biology: int, *, train: bool = True
    ) -> Features:
        """Image features [b, D], text features [b, D] and the inverse temperature.

        Args:
            images_bSS3: uint8.
            tokens_bL: int32.
            biology: number of leading images that use the first projector; the rest use the second.
            train: whether a backward pass follows, whose gradients DDP sums over ranks.
        """
        model = self.parallel if train else self.model
        pixels_b3SS = normalised(images_bSS3.to(self.device, non_blocking=True), self.start.mean, self.start.std)
        if self.settings.precision == "pure_bf16":
            pixels_b3SS = pixels_b3SS.bfloat16()
        with self._autocast():
            found: Features = model(pixels_b3SS, tokens_bL.to(self.device, non_blocking=True).long(), biology)
        return found

    @torch.no_grad()
    def embed(self, images_BSS3: torch.Tensor, tokens_BL: torch.Tensor, biology: int) -> Features:
        """`features` of any number of pairs, by microbatch and without gradients."""
        found = [
            self.features(images_BSS3[rows], tokens_BL[rows], _biology_in(rows, biology), train=False)
            for rows in microbatch_slices(len(images_BSS3), self.max_pairs)
        ]
        image_BD, text_BD = (torch.cat(side) for side in list(zip(*found, strict=True))[:2])
        return image_BD, text_BD, found[0][2]

    @torch.no_grad()
    def embed_texts(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """Normalised fp32 text features [B, D] of tokens, int32, by microbatch and without gradients."""
        tokens_BL = tokens_BL.to(self.device).long()
        slices = microbatch_slices(len(tokens_BL), self.max_pairs)
        with self._autocast():
            found = [self.model.clip.encode_text(tokens_BL[rows]) for rows in slices]
        return F.normalize(torch.cat(found).float(), dim=-1)

    def backward(
        self,
        images_BSS3: torch.Tensor,
        tokens_BL: torch.Tensor,
        counts: Sequence[int],
        *,
        seed: Callable[[int], None] = lambda microbatch: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> torch.Tensor | None:
        """Compute this rank's loss of each dataset, and accumulate the gradients in the parameters.

        The mean over ranks equals the global batch's loss and gradient for any number of microbatches. With more than
        one, a first pass without gradients computes all features and the loss, and a second pass repeats each
        microbatch to propagate the loss's gradient (gradient caching, Gao et al. 2021,
        https://arxiv.org/abs/2101.06983).

        Args:
            images_BSS3: uint8.
            tokens_BL: int32.
            counts: pairs of each dataset on this rank, summing to B; the first dataset uses the first projector.
            seed: called with the microbatch's number before each forward pass.
            should_stop: called between microbatches; True abandons the step. Must agree on all ranks.

        Returns:
            The losses, one per dataset, or None if the step was abandoned; the gradients are then invalid.
        """
        microbatches = microbatch_slices(sum(counts), self.max_pairs)
        if len(microbatches) == 1:
            seed(0)
            losses = contrastive_losses(*self.features(images_BSS3, tokens_BL, counts[0]), counts)
            losses.sum().backward()
            return losses.detach()

        cached = []
        for number, rows in enumerate(microbatches):
            if should_stop():
                return None
            seed(number)
            with torch.no_grad():
                cached.append(
                    self.features(images_BSS3[rows], tokens_BL[rows], _biology_in(rows, counts[0]), train=False)
                )
        image_BD, text_BD = (torch.cat(side).requires_grad_() for side in list(zip(*cached, strict=True))[:2])
        scale = cached[0][2].requires_grad_()
        losses = contrastive_losses(image_BD, text_BD, scale, counts)
        losses.sum().backward()
        assert image_BD.grad is not None and text_BD.grad is not None and scale.grad is not None

        for number, rows in enumerate(microbatches):
            if should_stop():
                return None
            seed(number)
            # Sum over ranks once, in the last microbatch's backward pass.
            with self._no_sync() if number < len(microbatches) - 1 else nullcontext():
                features = self.features(images_BSS3[rows], tokens_BL[rows], _biology_in(rows, counts[0]))
                torch.autograd.backward(
                    features, [image_BD.grad[rows], text_BD.grad[rows], scale.grad / len(microbatches)]
                )
        return losses.detach()

    def fit_memory(self, counts: Sequence[int], reserve: int) -> None:
        """Halve `max_pairs` until a step fits the memory of every rank's device.

        Each rank rehearses the step without collectives: in a real step, a rank that runs out of memory would leave
        the others waiting.

        Args:
            counts: pairs of each dataset on this rank.
            reserve: bytes that the optimiser has yet to allocate.

        Raises:
            InputError: not even one pair fits.
        """
        count = sum(counts)
        while sum_over_ranks([not self._fits(counts, reserve)], self.ranks)[0]:
            most = _largest_microbatch(count, self.max_pairs)
            if most == 1:
                raise InputError(
                    "not even one pair fits the GPU's memory; set train.grad_checkpointing or train.tune_blocks, or "
                    "use more processes or a smaller model"
                )
            self.max_pairs = (most + 1) // 2
            if self.ranks.is_main:
                logger.warning("microbatch of %d pairs does not fit the GPU's memory; trying %d", most, self.max_pairs)

    def _fits(self, counts: Sequence[int], reserve: int) -> bool:
        fits = True
        try:
            self._rehearse(counts, reserve)
        except torch.OutOfMemoryError:
            fits = False
        self.model.zero_grad()
        torch.cuda.empty_cache()
        return fits

    def _rehearse(self, counts: Sequence[int], reserve: int) -> None:
        """Allocate slightly more memory than a step does, without collective operations."""
        count = sum(counts)
        most = _largest_microbatch(count, self.max_pairs)
        if self.device.type == "cuda":
            reserve += int(SPARE_MEMORY * torch.cuda.get_device_properties(self.device).total_memory)
        if most < count and self.parallel is self.model:
            # Gradients of earlier microbatches; DDP preallocates its own.
            reserve += sum(parameter.nbytes for parameter in self.model.parameters() if parameter.requires_grad)
        reserved = torch.empty(reserve, dtype=torch.uint8, device=self.device)
        images_bSS3, tokens_bL = self._blank(most)
        image_bD, text_bD, scale = self.features(
            images_bSS3, tokens_bL, _biology_in(slice(0, most), counts[0]), train=False
        )
        image_BD, text_BD = (side.repeat(math.ceil(count / most), 1)[:count] for side in (image_bD, text_bD))
        all_R2BD = torch.stack([image_BD, text_BD]).expand(self.ranks.size, -1, -1, -1)
        losses_among(image_BD, text_BD, all_R2BD, rank=self.ranks.rank, scale=scale, counts=counts).sum().backward()
        del reserved

    def settle_buckets(self, counts: Sequence[int]) -> None:
        """Run two discarded backward passes, so that DDP rebuilds its gradient buckets before the first step.

        DDP rebuilds them after its first backward pass, which changes the order of summation over more than two ranks:
        a resumed run would differ from an uninterrupted one in the last bits.
        """
        if self.parallel is self.model:
            return
        rows = microbatch_slices(sum(counts), self.max_pairs)[0]
        images_bSS3, tokens_bL = self._blank(rows.stop)
        for _ in range(2):
            image_bD, text_bD, scale = self.features(images_bSS3, tokens_bL, _biology_in(rows, counts[0]))
            (image_bD.sum() + text_bD.sum() + scale).backward()
            self.parallel.zero_grad()

    def _blank(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        size = self.start.image_size
        images_bSS3 = torch.zeros(count, size, size, 3, dtype=torch.uint8)
        return images_bSS3, torch.zeros(count, self.start.context_length, dtype=torch.int32)

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16")

    def _no_sync(self) -> AbstractContextManager[None]:
        return self.parallel.no_sync() if isinstance(self.parallel, DistributedDataParallel) else nullcontext()


def microbatch_slices(count: int, most: int | None) -> list[slice]:
    """Split `count` pairs into the fewest consecutive microbatches of at most `most`, as equal as possible."""
    microbatches = 1 if most is None else math.ceil(count / most)
    return [
        slice(count * number // microbatches, count * (number + 1) // microbatches) for number in range(microbatches)
    ]


def _largest_microbatch(count: int, most: int | None) -> int:
    """Size of the largest slice of `microbatch_slices`."""
    return math.ceil(count / len(microbatch_slices(count, most)))


def _biology_in(rows: slice, biology: int) -> int:
    """How many of `rows` are among the first `biology` rows of the batch."""
    return max(0, min(rows.stop, biology) - rows.start)
