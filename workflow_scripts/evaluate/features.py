"""Image features on disk, with a digest of everything they depend on, so that stale features are never scored."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic, digest
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.protocols import CORRECTED, Protocol

if TYPE_CHECKING:
    from workflow_scripts.common.clip import Clip, Projector

# Versions of the published code that embed FishNet, AwA2, NeWT and Herbarium19 in full precision.
WITHOUT_AUTOCAST: tuple[Protocol, ...] = ("v1.0.1", "v2.0.0")


@dataclass(frozen=True)
class Origin:
    """What features were made from.

    Attributes:
        images: SHA-256 digest of the images table.
        weights: digest of the model's weights.
        preprocessing: digest of the preprocessing.
        projector: the visual projector used.
    """

    images: str
    weights: str
    preprocessing: str
    projector: str

    @property
    def digest(self) -> str:
        """Digest of all attributes."""
        return digest(vars(self))


@dataclass(frozen=True)
class Features:
    """Image features of one model and one benchmark.

    Attributes:
        vectors: features [N, D], float32, not normalised.
        positions: each image's position in the benchmark's labels [N], int64.
        origin: what they were made from.
        published: features of the images as the published code decodes them [N, D]; None if no image differs.
        precise: the same without autocast [N, D]; None if the other features were made without autocast too.
    """

    vectors: Floats
    positions: NDArray[np.int64]
    origin: Origin
    published: Floats | None = None
    precise: Floats | None = None

    def of(self, rows: NDArray[np.int64]) -> "Features":
        """The features of the images at `rows`."""
        return self._each(lambda vectors: vectors[rows], self.positions[rows])

    def normalised(self) -> "Features":
        """The features scaled to unit length."""
        return self._each(unit, self.positions)

    def _each(self, change: Callable[[Floats], Floats], positions: NDArray[np.int64]) -> "Features":
        published, precise = (None if one is None else change(one) for one in (self.published, self.precise))
        return Features(change(self.vectors), positions, self.origin, published, precise)

    def for_protocol(self, protocol: Protocol, *, autocast: bool = True) -> Floats:
        """The features that a protocol uses [N, D].

        Args:
            protocol: the protocol.
            autocast: whether v1.0.1 and v2.0.0 embed this benchmark under autocast, as main-49e1cf5 always does.
        """
        if protocol == CORRECTED:
            return self.vectors
        if not autocast and protocol in WITHOUT_AUTOCAST and self.precise is not None:
            return self.precise
        return self.vectors if self.published is None else self.published


def origin_of(clip: "Clip", images_digest: str, projector: "Projector") -> Origin:
    """The origin of features made by `clip` from the images table with this digest."""
    from workflow_scripts.common.clip import preprocessing

    used = projector if clip.replay_projector is not None else "proj"
    return Origin(images_digest, weights_digest(clip), digest(preprocessing(clip)), used)


def weights_digest(clip: "Clip") -> str:
    """SHA-256 digest of all tensors of the model, including its replay projector, in the order of their names."""
    import torch

    tensors = dict(clip.model.state_dict())
    if clip.replay_projector is not None:
        tensors["replay_projector"] = clip.replay_projector
    sums = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sums.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sums.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sums.hexdigest()


def write_features(path: Path, features: Features) -> None:
    """Write features as safetensors."""
    # A single metadata entry: safetensors does not keep the order of several, so the bytes would vary between runs.
    metadata = {"origin": json.dumps(vars(features.origin), sort_keys=True)}
    tensors: dict[str, NDArray[Any]] = {"features": features.vectors, "positions": features.positions}
    if features.published is not None:
        rows = np.flatnonzero((features.published != features.vectors).any(axis=1))
        tensors |= {"rows": rows, "published": features.published[rows]}
    if features.precise is not None:
        tensors["precise"] = features.precise
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata)


def read_features(path: Path) -> Features:
    """Read features.

    Raises:
        InputError: the file is missing or does not contain features.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            vectors, published, names = file.get_tensor("features"), None, set(file.keys())
            if "published" in names and len(rows := file.get_tensor("rows")):
                published = vectors.copy()
                published[rows] = file.get_tensor("published")
            precise = file.get_tensor("precise") if "precise" in names else None
            origin = Origin(**json.loads(metadata["origin"]))
            return Features(vectors, file.get_tensor("positions"), origin, published, precise)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: features cannot be read ({error}); delete the file and embed the images again"
        ) from None
