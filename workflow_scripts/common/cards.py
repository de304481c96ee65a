"""Cards of models and datasets, from their templates."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

# Whose recipes the workflow carries out.
PAPERS = (
    ("BioCLIP: A Vision Foundation Model for the Tree of Life", "Stevens et al., CVPR 2024", "arXiv:2311.18803"),
    (
        "BioCLIP 2: Emergent Properties from Scaling Hierarchical Contrastive Learning",
        "Gu et al., NeurIPS 2025",
        "arXiv:2505.23883",
    ),
)


def render_card(template: Path, front: ModelCardData | DatasetCardData, **values: Any) -> str:
    """A card: Hugging Face's front matter, and the text from its template."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    # Names from data stand in tables: a bar or a line break would end a cell.
    environment.filters["cell"] = lambda value: " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())
    environment.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.1f}"
    environment.filters["json"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    environment.globals["papers"] = PAPERS
    return f"---\n{front.to_yaml()}\n---\n{environment.get_template(template.name).render(values)}"
