"""Memory needed to decode images, for checks of the config."""

# For converting strips, scaling and hashing, independent of the image size.
WORKING_BYTES = 24_000_000
# For most formats: RGB as Pillow stores it, then a reduced copy. Some formats take more, JPEGs take less.
MIN_BYTES_PER_PIXEL = 4


def least_mb(pixels: int) -> int:
    """Memory, MiB, below which hardly any image of this many pixels can be decoded."""
    return -(-(WORKING_BYTES + MIN_BYTES_PER_PIXEL * pixels) // 2**20)
