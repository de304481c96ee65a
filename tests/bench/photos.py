"""Pictures for benches, no two alike."""

import cv2
import numpy as np

from workflow_scripts.common import images


def photo(number: int, width: int = 720, height: int = 540) -> bytes:
    """A JPEG that has about 20 KB at 224 px, so that, as in published shards, headers are a third of a shard."""
    random = np.random.default_rng(number)
    picture = np.zeros((height, width, 3))
    for cells, depth in ((4, 60), (16, 30), (64, 8), (256, 8)):
        picture += cv2.resize(
            random.normal(0, depth, (cells, cells, 3)), (width, height), interpolation=cv2.INTER_CUBIC
        )
    return images.encode_jpeg(np.clip(picture + 128, 0, 255).astype(np.uint8), 95)
