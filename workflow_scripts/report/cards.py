"""Citations of what is published."""

from collections.abc import Sequence

import yaml

from workflow_scripts.common.cards import PAPERS


def citation(title: str, kind: str, identity: str, authors: Sequence[str]) -> str:
    """A CITATION.cff.

    Args:
        title: what is cited.
        kind: `software` or `dataset`.
        identity: the name of the corpus that is fit to print.
        authors: who made it; without any, those who made it are said to be so.
    """
    described = {
        "cff-version": "1.2.0",
        "message": "If you use this, please cite it, and the sources that it is made of.",
        "title": title,
        "type": kind,
        "authors": [{"name": name} for name in authors] or [{"name": f"The makers of {title}"}],
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
