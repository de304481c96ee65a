"""Templates, style, script and plotting library of all pages; each page embeds them."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

HERE = Path(__file__).parent
# Display names of metrics.
NAMES = {"zero_shot/top1": "zero-shot top-1"}
STYLE, SCRIPT = "page.css", "page.js"


@cache
def page_templates() -> Environment:
    """The templates beside this module, with autoescaping: all values are text, never markup."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Named here, not in the templates that import it, so that it counts as code of their steps.
    environment.globals["macros"] = "macros.html.j2"
    environment.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.1f}"
    # The value that a table sorts by and copies, in the unit that it shows.
    environment.filters["points"] = lambda value: "" if value is None else f"{100 * value:.4f}"
    environment.filters["metric"] = lambda name: NAMES.get(name, name.replace("_", " "))
    environment.filters["breakable"] = _breakable
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["duration"] = duration
    environment.filters["moment"] = moment
    environment.filters["words"] = lambda name: name.replace("_", " ")
    return environment


def page_parts() -> dict[str, Any]:
    """Style, script and plotting library, embedded so that a page needs no network."""
    from plotly.offline import get_plotlyjs

    return {"style": _file(STYLE), "script": _file(SCRIPT), "plotly": Markup(get_plotlyjs())}


def moment(seconds: float | None) -> str:
    """Seconds since 1970 as date and time, UTC."""
    return "–" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def duration(seconds: float | None) -> str:
    """Seconds as text in suitable units; a number and its unit stay on one line."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        parts = f"{days} d", f"{hours} h"
    else:
        parts = (f"{hours} h", f"{minutes:02d} min") if hours else (f"{minutes} min", f"{rest:02d} s")
    return " ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


def _breakable(name: str) -> Markup:
    """A name that may break after `_`, `/` and `.` on a narrow screen."""
    text = escape(name)
    for mark in "_/.":
        text = text.replace(mark, Markup(f"{mark}<wbr>"))
    return text


def _file(name: str) -> Markup:
    """A file of the project as trusted markup."""
    return Markup((HERE / name).read_text(encoding="utf-8"))
