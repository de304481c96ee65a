"""Cards and citations for what is published."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from workflow_scripts.common.config.project import about, read_project
from workflow_scripts.common.config.report import PublishSettings
from workflow_scripts.common.errors import InputError

HERE = Path(__file__).parent
# Whose recipes the workflow carries out.
PAPERS = (
    ("BioCLIP: A Vision Foundation Model for the Tree of Life", "Stevens et al., CVPR 2024", "arXiv:2311.18803"),
    (
        "BioCLIP 2: Emergent Properties from Scaling Hierarchical Contrastive Learning",
        "Gu et al., NeurIPS 2025",
        "arXiv:2505.23883",
    ),
)


def render(template: str, **values: Any) -> str:
    """A card's text from its template beside this module."""
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    # Names from data stand in tables: a bar or a line break would end a cell.
    environment.filters["cell"] = lambda value: " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())
    environment.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.1f}"
    environment.globals["papers"] = PAPERS
    environment.globals["workflow"] = about(read_project())
    return environment.get_template(template).render(values)


def check_given(settings: PublishSettings, *keys: str) -> None:
    """Refuse to publish what only a person can say.

    Raises:
        InputError: one of these settings is not given.
    """
    if missing := [f"publish.{key}" for key in keys if not getattr(settings, key)]:
        raise InputError(
            f"{', '.join(missing)}: missing; set it in the config, for example "
            "`publish: {authors: [A. Person], model_license: mit}`, and give the same command again"
        )


def citation(title: str, kind: str, identity: str, authors: Sequence[str]) -> str:
    """A CITATION.cff.

    Args:
        title: what is cited.
        kind: `software` or `dataset`.
        identity: the name of the corpus that is fit to print.
        authors: who made it.
    """
    described = {
        "cff-version": "1.2.0",
        "message": "If you use this, please cite it, and the sources that it is made of.",
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
