"""What `make device` measures: the trainer's own model, losses and step on one device.

Import it within `device_imports.only_what_clip_needs`.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from open_clip import CLIP, ClipLoss, get_input_dtype, get_model_config
from open_clip_train.train import train_one_epoch
from rows import peak_mb, sized
from torch.utils.flop_counter import FlopCounterMode

from workflow_scripts.common.clip import Clip, encode_image, normalised
from workflow_scripts.common.config.train import ModelSettings, TrainSettings
from workflow_scripts.train.forward import Forward
from workflow_scripts.train.loss import contrastive_losses
from workflow_scripts.train.model import starting_model
from workflow_scripts.train.optimizer import (
    decays,
    gradient_norm,
    make_optimizer,
    set_lr,
    unallocated_state_bytes,
    update,
)
from workflow_scripts.train.ranks import find_ranks

MIB = 2**20
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 512, "width": 32, "heads": 2, "layers": 2},
}
# Dense bf16 matrix products, FLOP/s, by the vendor's data sheets. The first name that is part of the GPU's counts.
PUBLISHED_PEAKS = {
    "GH200": 989e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "GB200": 2450e12,
    "B200": 2250e12,
    "L40S": 362e12,
    "A100": 312e12,
}
PRODUCT = sized(8192, 128)
WARM_UP = 2
STEPS = sized(10, 2)
# Maximum duration of a measurement, seconds.
LONG = sized(6.0, 1.0)

CORRECTNESS_PAIRS = sized((48, 16), (6, 2))
CORRECTNESS_STEPS = sized(30, 12)
# Steps of fp32 between comparisons of its weights in the other precisions.
COMPARED_EVERY = sized(5, 3)
PEAK_LR = sized(5e-5, 3e-3)
# Maximum difference from fp32's loss with the same weights on the same batch, summed over both datasets. On a CPU it is
# 0.003 for ViT-B/16.
ALLOWED = {"bf16": 0.02, "pure_bf16": 0.03}
# Maximum difference, by precision, between losses that differ only in the order of sums (eager and compiled, GPU and
# CPU, ours and the peer's). In pure_bf16, open_clip's loss is a bf16 number: between 4 and 8 their spacing is 0.03.
ALLOWED_ALIKE = {"fp32": 0.01, "bf16": 0.03, "pure_bf16": 0.06}

Pairs = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Machine:
    """The device and its matrix throughput.

    Attributes:
        device: `cuda` or `cpu`.
        name: name of the GPU.
        memory_mib: memory of the GPU.
        torch: PyTorch's version.
        cuda: CUDA version that PyTorch was built for.
        published_flops: dense bf16 FLOP/s by the vendor's data sheet, for known GPUs.
        measured_flops: dense bf16 FLOP/s of a square matrix product on this device.
    """

    device: str
    name: str
    memory_mib: int
    torch: str
    cuda: str | None
    published_flops: float | None
    measured_flops: float


@dataclass(frozen=True)
class Correctness:
    """Losses in three precisions, summed over both datasets, when overfitting one batch.

    Attributes:
        distances: by precision, the maximum difference from fp32's loss with the same weights, at the start and after
            several steps of fp32.
        allowed: bounds of `distances`.
        cpu_distance: difference between the first fp32 loss on this device and on the CPU.
        losses: by precision, the losses of a separate training. They diverge; each must fall below half.
        within: whether all bounds hold.
    """

    model: str
    pairs: int
    distances: Mapping[str, float]
    allowed: Mapping[str, float]
    cpu_distance: float
    losses: Mapping[str, Sequence[float]]
    within: bool


@dataclass(frozen=True)
class Speed:
    """Throughput and memory.

    Attributes:
        samples_per_second: pairs in training, images in embedding.
        tflops: useful TFLOP/s, without recomputation.
        utilisation: share of the published peak (MFU), if known.
        utilisation_of_measured: share of the measured matrix throughput.
        peak_memory_mib: GPU memory by PyTorch's allocator, or memory of the process on a CPU.
    """

    samples_per_second: float
    tflops: float
    utilisation: float | None
    utilisation_of_measured: float
    peak_memory_mib: float


@dataclass(frozen=True)
class Training:
    """Training steps of the trainer.

    Attributes:
        pairs: pairs per step.
        pairs_at_once: pairs per microbatch, by the rehearsal; with several, each goes through the model twice.
        seconds_to_start: seconds of the rehearsal and the first steps, with compilation.
        loss: loss of the first step.
        eager_loss: loss without compilation, if compiled.
        within: whether the two losses agree.
    """

    model: str
    precision: str
    compiled: bool
    pairs: int
    pairs_at_once: int
    seconds_to_start: float
    loss: float
    eager_loss: float | None
    within: bool
    speed: Speed


@dataclass(frozen=True)
class Beside:
    """The trainer's steps compared with `open_clip_train.train.train_one_epoch`, on the same batch and weights.

    Attributes:
        ratio: ours / theirs, samples per second.
        losses: losses of the first steps, ours and theirs.
        distance: difference between the losses of the first step.
        within: whether the difference is within the precision's bound.
    """

    model: str
    precision: str
    pairs: int
    ours: Speed
    theirs: Speed
    ratio: float
    losses: Mapping[str, Sequence[float]]
    distance: float
    within: bool


@dataclass(frozen=True)
class Rehearsal:
    """The microbatch size that the trainer's rehearsal finds, and whether real steps fit the memory.

    Attributes:
        pairs: pairs of each dataset on one GPU.
        memory_mib: memory that the process may use.
        pairs_at_once: pairs per microbatch, by the rehearsal.
        rehearsal_seconds: seconds of the rehearsal.
        step_seconds: seconds of the second real step; None without real steps.
        peak_memory_mib: peak memory of the rehearsal and the steps.
        within: whether the steps fit the memory.
    """

    model: str
    precision: str
    grad_checkpointing: bool
    pairs: Sequence[int]
    memory_mib: float
    pairs_at_once: int
    rehearsal_seconds: float
    step_seconds: float | None
    peak_memory_mib: float
    within: bool


@dataclass(frozen=True)
class Embedding:
    """Images through the visual tower as in `evaluate.embed`: uint8, without gradients, bf16 on a GPU."""

    model: str
    images: int
    speed: Speed


def find_machine() -> Machine:
    """This process's GPU, or the CPU if there is none."""
    device = find_ranks().device
    name, memory, peak = "CPU", 0, None
    if device.type == "cuda":
        torch.cuda.set_device(device)
        properties = torch.cuda.get_device_properties(device)
        name, memory = properties.name, properties.total_memory // MIB
        peak = next((flops for part, flops in PUBLISHED_PEAKS.items() if part in name), None)
    left, right = (torch.randn(PRODUCT, PRODUCT, device=device, dtype=torch.bfloat16) for _ in range(2))
    rate = 2 * PRODUCT**3 / seconds_each(lambda: left @ right, device.type)
    return Machine(device.type, name, memory, torch.__version__, torch.version.cuda, peak, rate)


def correctness(machine: Machine, model: str) -> Correctness:
    """Train for some steps in fp32, bf16 and pure_bf16, and compare the losses of fp32's weights in all three."""
    pairs = CORRECTNESS_PAIRS
    batch = random_pairs(config_of(model), sum(pairs), machine.device)
    exact = Trainer(model, settings_of(pairs, "fp32"), pairs, machine.device)
    cpu_distance = abs(exact.loss(batch) - exact.loss_on_cpu(batch))
    others = {name: Trainer(model, settings_of(pairs, name), pairs, machine.device) for name in ALLOWED}
    losses: dict[str, list[float]] = {"fp32": []}
    found: dict[str, list[float]] = {name: [] for name in others}
    for step in range(CORRECTNESS_STEPS):
        if step % COMPARED_EVERY == 0:
            weights, loss = exact.forward.model.state_dict(), exact.loss(batch)
            for name, other in others.items():
                other.forward.model.load_state_dict(weights)
                found[name].append(abs(other.loss(batch) - loss))
        losses["fp32"].append(exact.step(batch, warmed_up(step)))
    exact.free()
    for name in list(others):
        others.pop(name).free()
        trainer = Trainer(model, settings_of(pairs, name), pairs, machine.device)
        losses[name] = [trainer.step(batch, warmed_up(step)) for step in range(CORRECTNESS_STEPS)]
        trainer.free()

    distances = {name: largest(values) for name, values in found.items()}
    near = all(distances[name] <= allowed for name, allowed in ALLOWED.items())
    learned = all(values[-1] < values[0] / 2 for values in losses.values())
    within = near and learned and cpu_distance <= ALLOWED_ALIKE["fp32"]
    return Correctness(model, sum(pairs), distances, ALLOWED, cpu_distance, losses, within=within)


def warmed_up(step: int) -> float:
    """Share of the peak learning rate at a step, with warm-up."""
    return min(1.0, (step + 1) / 5)


def largest(values: Sequence[float]) -> float:
    """The maximum, or NaN if any value is NaN."""
    return math.nan if any(map(math.isnan, values)) else max(values)


def training(machine: Machine, model: str, precision: str, pairs: int, *, compiled: bool) -> Training:
    """Measure steps of plain CLIP training on a batch in device memory."""
    started = time.perf_counter()
    trainer = Trainer(model, settings_of((pairs,), precision, compile=compiled), (pairs,), machine.device)
    batch = random_pairs(config_of(model), pairs, machine.device)
    at_once = trainer.rehearse()
    eager_loss = None
    if compiled:
        with torch.compiler.set_stance("force_eager"):
            eager_loss = trainer.loss(batch)
    loss = trainer.step(batch)
    trainer.step(batch)
    seconds_to_start = time.perf_counter() - started
    start_memory(machine)
    speed = speed_of(machine, pairs / seconds_each(lambda: trainer.step(batch), machine.device), training_flops(model))
    trainer.free()
    within = math.isfinite(loss) and (eager_loss is None or abs(loss - eager_loss) <= ALLOWED_ALIKE[precision])
    return Training(
        model, precision, compiled, pairs, at_once, seconds_to_start, loss, eager_loss, within=within, speed=speed
    )


def beside_open_clip(machine: Machine, model: str, precision: str, pairs: int) -> Beside:
    """Measure our steps, then open_clip's, from the same weights on the same batch in device memory.

    Each gets the input of its own loader: normalised floats for open_clip, bytes for ours.
    """
    images, tokens = random_pairs(config_of(model), pairs, machine.device)
    flops = training_flops(model)
    trainer = Trainer(model, settings_of((pairs,), precision), (pairs,), machine.device)
    first = [trainer.step((images, tokens)) for _ in range(WARM_UP)]
    start_memory(machine)
    seconds = seconds_each(lambda: trainer.step((images, tokens)), machine.device)
    ours = speed_of(machine, pairs / seconds, flops)
    trainer.free()

    peer = OpenClipTrainer(model, precision, machine.device)
    batch = (normalised(images, MEAN, STD), tokens.long())
    theirs_first = peer.epoch([batch] * WARM_UP)
    start_memory(machine)
    began = time.perf_counter()
    peer.epoch([batch])
    synchronise(machine.device)
    count = max(1, min(STEPS, int(LONG / (time.perf_counter() - began))))
    seconds = seconds_each(lambda: peer.epoch([batch] * count), machine.device, most=1) / count
    theirs = speed_of(machine, pairs / seconds, flops)
    peer.free()
    distance = abs(first[0] - theirs_first[0])
    losses = {"ours": first, "theirs": theirs_first}
    ratio = ours.samples_per_second / theirs.samples_per_second
    return Beside(
        model, precision, pairs, ours, theirs, ratio, losses, distance, within=distance <= ALLOWED_ALIKE[precision]
    )


def rehearsal(
    machine: Machine,
    model: str,
    precision: str,
    counts: Sequence[int],
    *,
    grad_checkpointing: bool,
    memory_gb: float | None = None,
    steps: bool = True,
) -> Rehearsal:
    """Rehearse a recipe's step, then run real steps.

    Args:
        machine: the device.
        model: architecture.
        precision: precision of the recipe.
        counts: biology and replay pairs on this GPU.
        grad_checkpointing: the recipe's gradient checkpointing.
        memory_gb: memory of a smaller GPU to emulate; None for all of this one's.
        steps: whether to run real steps after the rehearsal.
    """
    allowed = float(machine.memory_mib)
    on_gpu = machine.device == "cuda"
    if memory_gb is not None and on_gpu:
        allowed = min(allowed, memory_gb * 1e9 / MIB)
        torch.cuda.set_per_process_memory_fraction(allowed / machine.memory_mib)
    try:
        settings = settings_of(counts, precision, grad_checkpointing=grad_checkpointing)
        trainer = Trainer(model, settings, counts, machine.device)
        start_memory(machine)
        began = time.perf_counter()
        at_once = trainer.rehearse()
        seconds, step_seconds, within = time.perf_counter() - began, None, True
        if steps:
            batch = random_pairs(config_of(model), sum(counts), "cpu")
            try:
                # The first step allocates the optimiser's moments.
                trainer.step(batch)
                began = time.perf_counter()
                trainer.step(batch)
                step_seconds = time.perf_counter() - began
            except torch.OutOfMemoryError:
                within = False
        peak = peak_memory(machine)
        trainer.free()
    finally:
        if on_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0)
    return Rehearsal(
        model,
        precision,
        grad_checkpointing,
        counts,
        allowed,
        at_once,
        seconds,
        step_seconds,
        peak,
        within=within,
    )


def embedding(machine: Machine, model: str, images: int) -> Embedding:
    """Measure forward passes of the visual tower over a batch in device memory."""
    clip = random_clip(model, machine.device)
    clip.model.eval()
    batch, _ = random_pairs(config_of(model), images, machine.device)
    start_memory(machine)
    with torch.autocast("cuda", torch.bfloat16) if machine.device == "cuda" else nullcontext():
        seconds = seconds_each(lambda: encode_image(clip, batch), machine.device)
    speed = speed_of(machine, images / seconds, image_flops(model))
    return Embedding(model, images, speed)


MEAN = STD = (0.5, 0.5, 0.5)


class Trainer:
    """The trainer's model, forward and optimiser, with random weights from a fixed seed."""

    def __init__(self, model: str, settings: TrainSettings, counts: Sequence[int], device: str) -> None:
        clip = random_clip(model, device)
        second = len(counts) > 1
        network = starting_model(clip, ModelSettings(architecture=model), settings, second_projector=second)
        self.counts = counts
        self.settings = settings
        self.forward = Forward(network, clip, settings, find_ranks())
        self.optimizer = make_optimizer(network, settings)

    def rehearse(self) -> int:
        """Rehearse a step, and return the pairs per microbatch."""
        self.forward.fit_memory(self.counts, unallocated_state_bytes(self.optimizer))
        return self.forward.max_pairs or sum(self.counts)

    def step(self, batch: Pairs, share: float = 1.0) -> float:
        """Run a step of the training loop at a share of the peak learning rate, and return its loss."""
        model = self.forward.model
        set_lr(self.optimizer, share * PEAK_LR)
        losses = self.forward.backward(*batch, self.counts)
        assert losses is not None
        norm = gradient_norm(model)
        # The training loop synchronises here, too.
        loss = float(torch.stack([losses.sum(), norm])[0])
        update(model, self.optimizer, norm, self.settings.clip_norm)
        self.optimizer.zero_grad()
        return loss

    def loss(self, batch: Pairs) -> float:
        """The loss, without an update."""
        counts = self.counts
        with torch.no_grad():
            return float(contrastive_losses(*self.forward.embed(*batch, counts[0]), counts).sum())

    def loss_on_cpu(self, batch: Pairs) -> float:
        """The loss computed on the CPU, without an update."""
        device = self.forward.device
        self.forward.model.cpu()
        self.forward.device = torch.device("cpu")
        try:
            return self.loss(batch)
        finally:
            self.forward.model.to(device)
            self.forward.device = device

    def free(self) -> None:
        """Release the device's memory."""
        del self.forward, self.optimizer
        free()


class OpenClipTrainer:
    """open_clip's model, loss, optimiser and training loop, set up as in its own `main`."""

    def __init__(self, model: str, precision: str, device: str) -> None:
        self.precision = {"bf16": "amp_bf16"}.get(precision, precision)
        self.device = device
        self.model = random_clip(model, device, output_dict=True).model
        if self.precision == "pure_bf16":
            self.model.to(dtype=get_input_dtype(self.precision))
        settings = settings_of((1,), precision)
        named = list(self.model.named_parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for name, p in named if not decays(name, p)], "weight_decay": 0.0},
                {"params": [p for name, p in named if decays(name, p)], "weight_decay": settings.weight_decay},
            ],
            lr=PEAK_LR,
            betas=settings.betas,
            eps=settings.eps,
        )
        self.contrastive = ClipLoss(local_loss=True, gather_with_grad=True, cache_labels=True)
        self.losses: list[torch.Tensor] = []

    def epoch(self, batches: Sequence[Pairs]) -> list[float]:
        """Run one step on each batch, and return the losses."""
        self.losses = []
        count, pairs = len(batches), len(batches[0][0])
        loader = _Loader(batches, num_batches=count, num_samples=count * pairs)
        args = SimpleNamespace(
            device=self.device,
            precision=self.precision,
            batch_size=pairs,
            distill=False,
            accum_freq=1,
            skip_scheduler=True,
            grad_clip_norm=None,
            horovod=False,
            rank=0,
            world_size=1,
            log_every_n_steps=count,
            wandb=False,
        )
        data = {"train": SimpleNamespace(dataloader=loader, set_epoch=lambda epoch: None)}
        train_one_epoch(self.model, data, self._loss, 0, self.optimizer, None, None, None, args)
        return [float(loss) for loss in self.losses]

    def free(self) -> None:
        """Release the device's memory."""
        del self.model, self.optimizer
        free()

    def _loss(self, **given: Any) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = self.contrastive(**given)
        self.losses.append(found["contrastive_loss"].detach())
        return found


@dataclass(frozen=True)
class _Loader:
    batches: Sequence[Pairs]
    num_batches: int
    num_samples: int

    def __iter__(self) -> Iterator[Pairs]:
        return iter(self.batches)


@cache
def config_of(model: str) -> dict[str, Any]:
    """The model's architecture; a tiny one with SMALL=1."""
    found: dict[str, Any] = sized(get_model_config(model), TINY)
    return found


def random_clip(model: str, device: str, *, output_dict: bool = False) -> Clip:
    """A model with random weights from a fixed seed, in training mode."""
    config = config_of(model)
    torch.manual_seed(0)
    with torch.device(device):
        network = CLIP(**config, output_dict=output_dict)
    text, size = config["text_cfg"], config["vision_cfg"]["image_size"]
    return Clip(network, _no_texts, size, MEAN, STD, text.get("context_length", 77), replay_projector=None)


def _no_texts(texts: Sequence[str]) -> torch.Tensor:
    raise NotImplementedError


def settings_of(counts: Sequence[int], precision: str, **others: Any) -> TrainSettings:
    """Training settings for these numbers of pairs."""
    return TrainSettings(
        epochs=1,
        global_batch=counts[0],
        replay_batch=sum(counts[1:]),
        precision=precision,
        allow_cpu=True,
        **others,
    )


def random_pairs(config: Mapping[str, Any], pairs: int, device: str) -> Pairs:
    """Images of sixteen random colours each and random token ids, which a model can memorise."""
    size, text = config["vision_cfg"]["image_size"], config["text_cfg"]
    draw = torch.Generator(device).manual_seed(1)
    given = {"device": device, "generator": draw}
    coarse = torch.randint(0, 256, (pairs, 4, 4, 3), dtype=torch.uint8, **given)
    images = coarse.repeat_interleave(size // 4, 1).repeat_interleave(size // 4, 2)
    last = text["vocab_size"] - 1
    tokens = torch.randint(1, last, (pairs, text["context_length"]), dtype=torch.int32, **given)
    # CLIP pools a text at its largest id, the end token.
    tokens[:, -1] = last
    return images, tokens


@cache
def _flops(model: str) -> tuple[int, int]:
    config = config_of(model)
    size = config["vision_cfg"]["image_size"]
    with torch.device("meta"):
        network = CLIP(**config)
        pixels = torch.empty(1, 3, size, size)
        tokens = torch.zeros(1, config["text_cfg"]["context_length"], dtype=torch.long)
    with FlopCounterMode(display=False) as counted:
        network.encode_image(pixels)
    image = counted.get_total_flops()
    with FlopCounterMode(display=False) as counted:
        network.encode_text(tokens)
    return image, counted.get_total_flops()


def image_flops(model: str) -> int:
    """FLOPs of the visual tower's forward pass per image; a multiply-add counts as two."""
    return _flops(model)[0]


def training_flops(model: str) -> int:
    """FLOPs of a training step per pair: both towers' forward pass, and twice as many backward."""
    return 3 * sum(_flops(model))


def speed_of(machine: Machine, rate: float, flops: int) -> Speed:
    """Throughput, utilisation and memory at `rate` samples per second of `flops` each."""
    done = rate * flops
    share = None if machine.published_flops is None else done / machine.published_flops
    return Speed(rate, done / 1e12, share, done / machine.measured_flops, peak_memory(machine))


def seconds_each(work: Callable[[], object], device: str, most: int = STEPS) -> float:
    """Mean seconds of `work` over up to `most` runs, or as many as there is time for, after warm-up runs."""
    if most > 1:
        for _ in range(WARM_UP):
            work()
    synchronise(device)
    began, count = time.perf_counter(), 0
    while count < most and (count == 0 or time.perf_counter() - began < LONG):
        work()
        count += 1
    synchronise(device)
    return (time.perf_counter() - began) / count


def synchronise(device: str) -> None:
    """Wait for the GPU's pending work."""
    if device == "cuda":
        torch.cuda.synchronize()


def start_memory(machine: Machine) -> None:
    """Reset the peak of GPU memory."""
    if machine.device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak_memory(machine: Machine) -> float:
    """Peak memory, MiB."""
    return torch.cuda.max_memory_allocated() / MIB if machine.device == "cuda" else peak_mb()


def free() -> None:
    """Release unreferenced memory, and compiled code."""
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
