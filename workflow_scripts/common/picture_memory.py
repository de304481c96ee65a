"""Memory needed to decode images, for checks of the config."""

# What converting strips, scaling and hashing take, whatever the picture's size.
WORKING_BYTES = 24_000_000
# Of a picture as most formats have it: RGB as Pillow stores it, and then a reduced copy. Some take more, JPEGs less.
LEAST_BYTES_A_PIXEL = 4


def least_mb(pixels: int) -> int:
    """The room, MiB, below which hardly any picture of so many pixels can be decoded."""
    return -(-(WORKING_BYTES + LEAST_BYTES_A_PIXEL * pixels) // 2**20)
