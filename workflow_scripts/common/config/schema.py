"""JSON schemas of the config and of the site file, for completion, help and checks in editors."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.config.model_source import ModelSource


class _EditorSchema(GenerateJsonSchema):
    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        """Also allow a plain string for a model source, which a validator turns into `start`."""
        made = super().model_schema(schema)
        if not issubclass(schema["cls"], ModelSource):
            return made
        summary = made.pop("description", "")
        return {"description": summary, "anyOf": [{"type": "string"}, made]}


def editor_schema(model: type[Section]) -> str:
    """The schema as JSON. Its top-level keys are optional, because a file may be one of several that are merged."""
    described = model.model_json_schema(schema_generator=_EditorSchema)
    described.pop("required", None)
    described = {"$schema": _EditorSchema.schema_dialect, **described}
    return json.dumps(_without_titles(described), indent=1, ensure_ascii=False) + "\n"


def _without_titles(value: Any) -> Any:
    """Remove pydantic's titles, which repeat the keys. A key named `title` is a mapping and stays."""
    if isinstance(value, dict):
        return {
            key: _without_titles(entry)
            for key, entry in value.items()
            if not (key == "title" and isinstance(entry, str))
        }
    return [_without_titles(entry) for entry in value] if isinstance(value, list) else value
