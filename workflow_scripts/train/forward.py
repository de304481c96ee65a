"""From a batch to its losses: on the device, in the recipe's precision, over all ranks."""

from collections.abc import Sequence

import torch
from torch.nn.parallel import DistributedDataParallel

from workflow_scripts.common.clip import Clip, normalised
from workflow_scripts.common.config.train import TrainSettings
from workflow_scripts.train.loss import contrastive_losses
from workflow_scripts.train.model import TwoProjectorClip
from workflow_scripts.train.ranks import Ranks


class Forward:
    """The model as the ranks run it together.

    Args:
        model: on this rank's device.
        start: the starting weights' preprocessing.
        settings: precision, checkpointing and compilation.
        ranks: this process among the others.
    """

    def __init__(self, model: TwoProjectorClip, start: Clip, settings: TrainSettings, ranks: Ranks) -> None:
        self.model = model
        self.start = start
        self.settings = settings
        self.device = ranks.device
        if settings.grad_checkpointing:
            model.clip.set_grad_checkpointing(True)
        if settings.compile:
            model.compile()
        device_ids = [ranks.local_rank] if self.device.type == "cuda" else None
        # Nothing in the model that is not trained changes, so there are no buffers to send around.
        self.parallel: torch.nn.Module = (
            DistributedDataParallel(
                model, device_ids=device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True
            )
            if ranks.size > 1
            else model
        )

    def losses(
        self, images: torch.Tensor, tokens: torch.Tensor, parts: Sequence[int], *, biology: bool, train: bool = True
    ) -> torch.Tensor:
        """This rank's loss of each part; their means over ranks are the global batch's.

        Args:
            images: uint8 [B, S, S, 3].
            tokens: int32 [B, L].
            parts: pairs a part on this rank, summing to B.
            biology: whether the first part goes through the first projector, or (False) all go through the second.
            train: whether gradients are wanted.
        """
        model = self.parallel if train else self.model
        pixels = normalised(images.to(self.device, non_blocking=True), self.start.mean, self.start.std)
        if self.settings.precision == "pure_bf16":
            pixels = pixels.bfloat16()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            image_BD, text_BD, scale = model(
                pixels, tokens.to(self.device, non_blocking=True).long(), parts[0] if biology else 0
            )
        return contrastive_losses(image_BD, text_BD, scale, parts)

    def settle(self, parts: Sequence[int]) -> None:
        """Run two throw-away backward passes.

        DDP sorts its gradient buckets anew after its first one, and with other buckets more than two ranks add up in
        another order: a resumed run would differ from an undisturbed one in the last bits.
        """
        if self.parallel is self.model:
            return
        count, size = sum(parts), self.start.image_size
        images = torch.zeros(count, size, size, 3, dtype=torch.uint8)
        tokens = torch.zeros(count, self.start.context_length, dtype=torch.int32)
        for _ in range(2):
            self.losses(images, tokens, parts, biology=True).sum().backward()
            self.parallel.zero_grad()
