"""Pictures for benches, no two alike."""

import cv2
import numpy as np

from workflow_scripts.common import images


def photo(number: int, width: int = 720, height: int = 540) -> bytes:
    """A JPEG; made 224 px small it has about 20 KB, so that headers are a third of a published shard, as they are."""
    random = np.random.default_rng(number)
    picture = np.zeros((height, width, 3))
    for cells, depth in ((4, 60), (16, 30), (64, 8), (256, 8)):
        picture += cv2.resize(
            random.normal(0, depth, (cells, cells, 3)), (width, height), interpolation=cv2.INTER_CUBIC
        )
    return images.encode_jpeg(np.clip(picture + 128, 0, 255).astype(np.uint8), 95)
