"""The JSON schema of the config and of the site file, for editors: completion, help and checks while one types."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.config.model_source import ModelSource


class _EditorSchema(GenerateJsonSchema):
    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        """A model source may be written as one string, which a validator turns into `start`."""
        made = super().model_schema(schema)
        if not issubclass(schema["cls"], ModelSource):
            return made
        summary = made.pop("description", "")
        return {"description": summary, "anyOf": [{"type": "string"}, made]}


def editor_schema(model: type[Section]) -> str:
    """The schema as JSON. Top-level keys are optional in it: a file may be one of several that are merged."""
    described = model.model_json_schema(schema_generator=_EditorSchema)
    described.pop("required", None)
    described = {"$schema": _EditorSchema.schema_dialect, **described}
    return json.dumps(_without_titles(described), indent=1, ensure_ascii=False) + "\n"


def _without_titles(value: Any) -> Any:
    """Pydantic's titles repeat the keys; a key called `title` is a mapping and stays."""
    if isinstance(value, dict):
        return {
            key: _without_titles(entry)
            for key, entry in value.items()
            if not (key == "title" and isinstance(entry, str))
        }
    return [_without_titles(entry) for entry in value] if isinstance(value, list) else value
