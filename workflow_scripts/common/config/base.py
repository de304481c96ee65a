"""What every part of the config has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values are frozen, every field is described."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def to_json(self) -> str:
        """The JSON that a step's command line takes: only what differs from the defaults, in field order."""
        return self.model_dump_json(exclude_defaults=True)
