"""A small classifier of many yes-or-no labels on frozen features, as bioclip-2 trains it for FishNet and AwA2.

Shapes: N images, D embedding dimensions, L labels.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.resampling import Truths

HIDDEN = 512
DROPOUT = 0.5
EPOCHS = 50
BATCH = 256
STEP_EPOCHS = 20
STEP_FACTOR = 0.5
PUBLISHED_THRESHOLD = 0.5


def predictions(
    train_ND: Floats, targets_NL: Truths, test_ND: Floats, *, lr: float, seed: int = 0
) -> tuple[Truths, Truths]:
    """Train on one split and predict the labels of the other, once corrected and once as published.

    Linear(512), dropout, Linear(L) without activation; binary cross-entropy on logits, Adam, 50 epochs. Corrected: a
    label is predicted when its probability is above one half. Published: when its *logit* is, with dropout left on.

    Args:
        train_ND: features to train on, not normalised.
        targets_NL: their labels.
        test_ND: features to predict.
        lr: Adam's learning rate at the start.
        seed: of weights, order and dropout.

    Returns:
        Corrected and published predictions, each [N of test, L].
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = _fit(
            torch.from_numpy(train_ND).to(device), torch.from_numpy(targets_NL).to(device, torch.float32), lr
        )
        test = torch.from_numpy(test_ND).to(device)
        published = decide(_logits(classifier.train(), test), published=True)
        return decide(_logits(classifier.eval(), test), published=False), published


def decide(logits_NL: NDArray[np.float32], *, published: bool) -> Truths:
    """Which labels the logits predict."""
    return logits_NL > (PUBLISHED_THRESHOLD if published else 0)


def _fit(features_ND: torch.Tensor, targets_NL: torch.Tensor, lr: float) -> torch.nn.Sequential:
    classifier = torch.nn.Sequential(
        torch.nn.Linear(features_ND.shape[1], HIDDEN),
        torch.nn.Dropout(DROPOUT),
        torch.nn.Linear(HIDDEN, targets_NL.shape[1]),
    ).to(features_ND.device)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=STEP_EPOCHS, gamma=STEP_FACTOR)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(features_ND)).to(features_ND.device).split(BATCH):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                classifier(features_ND[batch]), targets_NL[batch]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return classifier


@torch.no_grad()
def _logits(classifier: torch.nn.Sequential, features_ND: torch.Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = torch.cat([classifier(batch) for batch in features_ND.split(BATCH)]).cpu().numpy()
    return logits
