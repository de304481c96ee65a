"""The project's metadata from `pyproject.toml`: version, description, authors and addresses.

README, the site, CITATION.cff and the pages written by `make docs` take them from here. Fields that the owner has not
filled in are empty and are left out of the pages.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
ANONYMOUS = "The TreeOfLife workflow authors"


@dataclass(frozen=True)
class Project:
    """The project's metadata (PEP 621).

    Attributes:
        version: version of the workflow.
        description: one sentence.
        license: SPDX identifier.
        authors: names; empty until the owner fills them in.
        repository: address of the repository, or "".
        documentation: address of the built site, or "".
        doi: a DOI without `https://doi.org/`, or "".
    """

    version: str
    description: str
    license: str
    authors: tuple[str, ...] = ()
    repository: str = ""
    documentation: str = ""
    doi: str = ""


def read_project(root: Path = ROOT) -> Project:
    """The metadata in a folder's `pyproject.toml`."""
    about = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = {name.lower(): url for name, url in about.get("urls", {}).items()}
    return Project(
        version=about["version"],
        description=about["description"],
        license=about["license"],
        authors=tuple(one["name"] for one in about.get("authors", [])),
        repository=urls.get("repository", "").rstrip("/"),
        documentation=urls.get("documentation", ""),
        doi=urls.get("doi", "").removeprefix("https://doi.org/"),
    )


def citation_head(project: Project) -> str:
    """CITATION.cff up to its references. The format requires an author: without one, a group is named."""
    described = {
        "cff-version": "1.2.0",
        "message": "If you use this workflow, please cite the papers whose recipes it implements, and open_clip.",
        "title": "TreeOfLife workflow",
        "abstract": project.description,
        "type": "software",
        "license": project.license,
        "version": project.version,
        "repository-code": project.repository,
        "url": project.documentation,
        "doi": project.doi,
        "authors": [{"name": name} for name in project.authors or (ANONYMOUS,)],
    }
    given = {key: value for key, value in described.items() if value}
    return yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=200)


def about(project: Project) -> str:
    """Version, authors and addresses as one line of Markdown; empty ones are left out."""
    known = [f"Version {project.version}"]
    if project.authors:
        known.append(", ".join(project.authors))
    if project.documentation:
        known.append(f"[documentation]({project.documentation})")
    if project.repository:
        known.append(f"[repository]({project.repository})")
    if project.doi:
        known.append(f"[doi:{project.doi}](https://doi.org/{project.doi})")
    return " · ".join(known)
