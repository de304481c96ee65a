"""A small classifier of many yes-or-no labels on frozen features, as bioclip-2 trains it for FishNet and AwA2.

All versions of the published code hold the *logit* against 0.5 and leave dropout on while they score. They train alike,
for 50 epochs with a look at the test images after every tenth, and differ in how often: v1.0.1 trains once and takes
what the last of these looks says; later code trains by three seeds, and looks once more after each training.
main-49e1cf5 also trains and scores under autocast, which does nothing on a CPU.

Shapes: N images, D embedding dimensions, L labels.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.protocols import PROTOCOLS, Protocol
from workflow_scripts.common.resampling import Truths
from workflow_scripts.evaluate.features import Features

HIDDEN = 512
DROPOUT = 0.5
EPOCHS = 50
LOOK_EVERY = 10
BATCH = 256
STEP_EPOCHS = 20
STEP_FACTOR = 0.5
PUBLISHED_THRESHOLD = 0.5
SEEDS = (0, 1, 2)
SEEDS_OF: Mapping[Protocol, tuple[int, ...]] = dict.fromkeys(PROTOCOLS, SEEDS) | {"v1.0.1": SEEDS[:1]}


class Predictions(NamedTuple):
    """Which labels one training predicts for the test images, each [N of test, L].

    Attributes:
        last_look: by the published rule, when the last epoch ends: what v1.0.1 takes.
        final: by the same rule, once more after the training: what later code takes.
        corrected: without dropout, where the probability is above one half.
    """

    last_look: Truths
    final: Truths
    corrected: Truths

    def of(self, protocol: Protocol) -> Truths:
        """What a protocol takes."""
        return {"v1.0.1": self.last_look, "corrected": self.corrected}.get(protocol, self.final)


def predictions(
    features: Features, targets_NL: Truths, train: NDArray[np.int64], test: NDArray[np.int64], *, lr: float
) -> dict[Protocol, tuple[Truths, ...]]:
    """What each protocol predicts for the test images, by seed; protocols that agree share the arrays.

    Args:
        features: of all images.
        targets_NL: their labels.
        train: rows to train on.
        test: rows to predict.
        lr: Adam's learning rate at the start.
    """
    vectors = {protocol: features.followed(protocol, autocast=False) for protocol in PROTOCOLS}
    distinct = {id(one): one for one in vectors.values()}

    @cache
    def trained(which: int, seed: int, autocast: bool) -> Predictions:
        one = distinct[which]
        return fit_and_predict(one[train], targets_NL[train], one[test], lr=lr, seed=seed, autocast=autocast)

    def by_seed(protocol: Protocol) -> tuple[Truths, ...]:
        autocast = protocol == "main-49e1cf5" and torch.cuda.is_available()
        return tuple(trained(id(vectors[protocol]), seed, autocast).of(protocol) for seed in SEEDS_OF[protocol])

    return {protocol: by_seed(protocol) for protocol in PROTOCOLS}


def fit_and_predict(
    train_ND: Floats, targets_NL: Truths, test_ND: Floats, *, lr: float, seed: int, autocast: bool = False
) -> Predictions:
    """Train on one split and predict the labels of the other.

    Linear(512), dropout, Linear(L) without activation; binary cross-entropy on logits, Adam, 50 epochs. The generator
    is seeded before the classifier is made; it draws weights, orders and dropout in the order of the published code,
    whose loaders draw too.

    Args:
        train_ND: features to train on, not normalised.
        targets_NL: their labels.
        test_ND: features to predict.
        lr: Adam's learning rate at the start.
        seed: of the generator.
        autocast: whether the classifier runs in half precision.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train = TensorDataset(torch.from_numpy(train_ND), torch.from_numpy(targets_NL).float())
    test = TensorDataset(torch.from_numpy(test_ND))
    precision = torch.autocast(device.type, torch.float16, enabled=autocast)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = torch.nn.Sequential(
            torch.nn.Linear(train_ND.shape[1], HIDDEN),
            torch.nn.Dropout(DROPOUT),
            torch.nn.Linear(HIDDEN, targets_NL.shape[1]),
        ).to(device)
        optimizer = torch.optim.Adam(classifier.parameters(), lr=lr)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=STEP_EPOCHS, gamma=STEP_FACTOR)
        logits = np.empty(0, np.float32)
        for epoch in range(1, EPOCHS + 1):
            for features_BD, labels_BL in _batches(train, RandomSampler(train)):
                with precision:
                    output_BL = classifier(features_BD.to(device))
                loss = torch.nn.functional.binary_cross_entropy_with_logits(output_BL, labels_BL.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
            if epoch % LOOK_EVERY == 0:
                logits = _logits(classifier, test, device, precision)
        last_look = decide(logits, published=True)
        final = decide(_logits(classifier, test, device, precision), published=True)
        return Predictions(
            last_look, final, decide(_logits(classifier.eval(), test, device, precision), published=False)
        )


def decide(logits_NL: NDArray[np.float32], *, published: bool) -> Truths:
    """Which labels the logits predict."""
    return logits_NL > (PUBLISHED_THRESHOLD if published else 0)


def _batches(data: TensorDataset, order: RandomSampler | SequentialSampler) -> "DataLoader[Any]":
    """Batches of whole slices; the loader's draws are those of a loader that fetches images one by one."""
    return DataLoader(data, sampler=BatchSampler(order, BATCH, drop_last=False), batch_size=None)


@torch.no_grad()
def _logits(
    classifier: torch.nn.Module, test: TensorDataset, device: torch.device, precision: torch.autocast
) -> NDArray[np.float32]:
    found = []
    for (features_BD,) in _batches(test, SequentialSampler(test)):
        with precision:
            found.append(classifier(features_BD.to(device)).float().cpu().numpy())
    return np.concatenate(found)
