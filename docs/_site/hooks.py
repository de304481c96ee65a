"""MkDocs hooks: pages from outside `docs`, their links, and metadata from pyproject.toml.

README, CONTRIBUTING, CHANGELOG and config/README.md become pages of the site. Links from `docs` to other files lead to
such a page or, if pyproject.toml has its address, to the repository; otherwise they become plain text. A link to a
missing file fails the build.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "config/README.md": "reference/config.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]*)(#[^)\s]*)?\)")
FENCE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.M | re.S)


def on_config(config: Any) -> Any:
    """Set addresses, authors and version from pyproject.toml."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = {name.lower(): url for name, url in about.get("urls", {}).items()}
    config.site_description = about["description"]
    config.repo_url = urls.get("repository", "").rstrip("/") or None
    config.site_url = urls.get("documentation") or None
    config.site_author = ", ".join(one["name"] for one in about.get("authors", [])) or None
    config.copyright = f"Version {about['version']}, licence {about['license']}"
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside `docs`."""
    for path, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Rewrite links to their targets on the site, except in code."""
    source = Path(page.file.abs_src_path).relative_to(ROOT)

    def on_site(found: re.Match[str]) -> str:
        image, text, target, anchor = found[1], found[2], found[3], found[4] or ""
        if not target:
            return found[0]
        path = os.path.normpath(source.parent / target)
        if not (ROOT / path).exists():
            raise PluginError(f"{source}: {target}: no such file")
        there = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if there is not None:
            return f"{image}[{text}]({os.path.relpath(there, Path(page.file.src_uri).parent)}{anchor})"
        return f"[{text}]({config.repo_url}/blob/main/{path})" if config.repo_url else text

    return "".join(part if number % 2 else LINK.sub(on_site, part) for number, part in enumerate(FENCE.split(markdown)))
