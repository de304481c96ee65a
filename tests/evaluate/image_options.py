"""Call a command that reads a user's images with flat options, as on the command line."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from workflow_scripts.common.embedding import ImageOptions


def with_flat_options(step: Callable[..., None]) -> Callable[..., None]:
    """The step, called with the fields of `ImageOptions` among its own arguments."""
    names = {field.name for field in fields(ImageOptions)}

    def call(**options: Any) -> None:
        images = ImageOptions(**{name: value for name, value in options.items() if name in names})
        step(images=images, **{name: value for name, value in options.items() if name not in names})

    return call
