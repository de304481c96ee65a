"""Cards and citation files of published models and datasets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from workflow_scripts.common.config.project import about, read_project
from workflow_scripts.common.config.report import PublishSettings
from workflow_scripts.common.errors import InputError

HERE = Path(__file__).parent
# Papers whose recipes the workflow follows.
PAPERS = (
    ("BioCLIP: A Vision Foundation Model for the Tree of Life", "Stevens et al., CVPR 2024", "arXiv:2311.18803"),
    (
        "BioCLIP 2: Emergent Properties from Scaling Hierarchical Contrastive Learning",
        "Gu et al., NeurIPS 2025",
        "arXiv:2505.23883",
    ),
)


def render(template: str, **values: Any) -> str:
    """Render a card from a template beside this module."""
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    # In a Markdown table, a bar or a line break in a name would end the cell.
    environment.filters["cell"] = lambda value: " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())
    environment.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.1f}"
    environment.globals["papers"] = PAPERS
    environment.globals["workflow"] = about(read_project())
    return environment.get_template(template).render(values)


def check_given(settings: PublishSettings, *keys: str) -> None:
    """Check that the settings which only a person can give are set.

    Raises:
        InputError: one of them is missing.
    """
    if missing := [f"publish.{key}" for key in keys if not getattr(settings, key)]:
        raise InputError(
            f"{', '.join(missing)}: missing; set it in the config, for example "
            "`publish: {authors: [A. Person], model_license: mit}`, then run the same command again"
        )


def citation(title: str, kind: str, identity: str, authors: Sequence[str]) -> str:
    """The text of a CITATION.cff.

    Args:
        title: title of the work.
        kind: `software` or `dataset`.
        identity: short ID of the corpus.
        authors: names of the authors.
    """
    described = {
        "cff-version": "1.2.0",
        "message": "If you use this, please cite it and its sources.",
        "title": title,
        "type": kind,
        "authors": [{"name": name} for name in authors],
        "identifiers": [{"type": "other", "value": identity, "description": "Digest of the training data"}],
        "references": [
            {
                "type": "article",
                "title": name,
                "authors": [{"name": who}],
                "identifiers": [{"type": "other", "value": at}],
            }
            for name, who, at in PAPERS
        ],
    }
    return yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=120)
