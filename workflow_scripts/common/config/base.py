"""Base class of all config sections."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

# Snakemake interprets `{name}` and `<name>` in paths and has no escape for them.
NOT_IN_PATHS = "{}<>"

# Valid for every random number generator in use; NumPy's takes 32 bits.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


def check_path(path: str | None) -> str | None:
    """Check that Snakemake takes a path literally, and return it.

    Raises:
        ValueError: it contains one of `{}<>`.
    """
    if path is not None and set(path) & set(NOT_IN_PATHS):
        raise ValueError(
            f"{path}: Snakemake cannot use paths that contain any of {NOT_IN_PATHS}; rename the folder or file"
        )
    return path


def sorted_by_key(value: Any) -> Any:
    """Sort a mapping and the mappings in it by key; return any other value unchanged."""
    if not isinstance(value, dict):
        return value
    return {name: sorted_by_key(value[name]) for name in sorted(value, key=str)}


class Section(BaseModel):
    """A section of the config. Unknown keys are errors, values are frozen, and every field has a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _sorted_by_key(cls, value: Any) -> Any:
        """Sort mappings: the order of keys in a config has no meaning."""
        return sorted_by_key(value)

    def to_json(self) -> str:
        """JSON for a step's command line: only values that differ from the defaults, in field order."""
        return self.model_dump_json(exclude_defaults=True)
