"""Base class of all config sections."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

# Snakemake reads `{name}` and `<name>` in a file's path as its own, and has no escape for them.
NOT_IN_PATHS = "{}<>"

# Every generator of random numbers takes these: NumPy's takes 32 bits.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


def check_path(path: str | None) -> str | None:
    """A path that Snakemake takes as it is.

    Raises:
        ValueError: it holds one of `{}<>`.
    """
    if path is not None and set(path) & set(NOT_IN_PATHS):
        raise ValueError(f"{path}: Snakemake does not read paths with any of {NOT_IN_PATHS}; rename the folder or file")
    return path


def in_order_of_names(value: Any) -> Any:
    """A mapping by its names, and those within it; anything else as it is."""
    if not isinstance(value, dict):
        return value
    return {name: in_order_of_names(value[name]) for name in sorted(value, key=str)}


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values are frozen, every field is described."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _in_order_of_names(cls, value: Any) -> Any:
        """The order in which a person writes names down is no setting."""
        return in_order_of_names(value)

    def to_json(self) -> str:
        """The JSON that a step's command line takes: only what differs from the defaults, in field order."""
        return self.model_dump_json(exclude_defaults=True)
