"""A small multi-label classifier on frozen features, trained as in bioclip-2 for FishNet and AwA2.

All versions of the published code compare the *logit* with 0.5 and keep dropout active while scoring. They train for 50
epochs and predict the test images after every tenth. v1.0.1 trains once and uses the predictions after the last epoch;
later code trains with three seeds and predicts once more after each training. main-49e1cf5 also trains and predicts
under autocast, which has no effect on a CPU.

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
PREDICT_EVERY = 10
BATCH = 256
STEP_EPOCHS = 20
STEP_FACTOR = 0.5
PUBLISHED_THRESHOLD = 0.5
SEEDS = (0, 1, 2)
SEEDS_OF: Mapping[Protocol, tuple[int, ...]] = dict.fromkeys(PROTOCOLS, SEEDS) | {"v1.0.1": SEEDS[:1]}


class Predictions(NamedTuple):
    """Labels that one trained classifier predicts for the M test images, each [M, L].

    Attributes:
        last_epoch: by the published rule, after the last epoch; used by v1.0.1.
        final: by the published rule, predicted once more after training; used by later code.
        corrected: without dropout, labels with a probability above one half.
    """

    last_epoch: Truths
    final: Truths
    corrected: Truths

    def of(self, protocol: Protocol) -> Truths:
        """The predictions that a protocol uses."""
        return {"v1.0.1": self.last_epoch, "corrected": self.corrected}.get(protocol, self.final)


def predictions(
    features: Features, targets_NL: Truths, train: NDArray[np.int64], test: NDArray[np.int64], *, lr: float
) -> dict[Protocol, tuple[Truths, ...]]:
    """Predictions of each protocol for the test images, by seed; protocols that agree share arrays.

    Args:
        features: features of all images.
        targets_NL: their labels.
        train: rows to train on.
        test: rows to predict.
        lr: initial learning rate of Adam.
    """
    vectors = {protocol: features.for_protocol(protocol, autocast=False) for protocol in PROTOCOLS}
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

    Linear(512), dropout, Linear(L) without activations; binary cross-entropy on logits, Adam, 50 epochs. The random
    generator is seeded before the classifier is created. Weights, sample order and dropout are drawn in the same order
    as in the published code, including the draws of its data loaders.

    Args:
        train_ND: features to train on, not normalised.
        targets_NL: their labels.
        test_ND: features to predict labels for.
        lr: initial learning rate of Adam.
        seed: seed of the random generator.
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
            if epoch % PREDICT_EVERY == 0:
                logits = _logits(classifier, test, device, precision)
        last_epoch = decide(logits, published=True)
        final = decide(_logits(classifier, test, device, precision), published=True)
        return Predictions(
            last_epoch, final, decide(_logits(classifier.eval(), test, device, precision), published=False)
        )


def decide(logits_NL: NDArray[np.float32], *, published: bool) -> Truths:
    """Turn logits into labels: above 0.5 as in the published code, otherwise above 0."""
    return logits_NL > (PUBLISHED_THRESHOLD if published else 0)


def _batches(data: TensorDataset, order: RandomSampler | SequentialSampler) -> "DataLoader[Any]":
    """A loader that slices whole batches, with the same random draws as one that fetches samples one by one."""
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
