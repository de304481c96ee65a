"""In a real browser the page draws its plots, sorts its tables, overflows nowhere and says nothing in the console."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.report.build import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-file-access-from-files",
    "--virtual-time-budget=3000",
    "--dump-dom",
]

# Frames are as wide as a screen; what is seen in them is written into the outer page, which is then read back.
OUTER = """<!doctype html><pre id="found"></pre>
<iframe src="index.html" width="1280" height="900"></iframe><iframe src="index.html" width="420" height="900"></iframe>
<script>
addEventListener("load", () => setTimeout(() => {
  const found = [...document.querySelectorAll("iframe")].map(({contentWindow: page, contentDocument: tree}) => {
    const heading = tree.querySelectorAll("#scores-table thead th")[2];
    const column = () => [...tree.querySelectorAll("#scores-table tbody tr")].map((row) => row.cells[2].dataset.value);
    heading.click();
    const ascending = column();
    heading.click();
    return {
      errors: page.errors,
      plots: tree.querySelectorAll(".plot .main-svg").length,
      overflow: tree.documentElement.scrollWidth - page.innerWidth,
      requests: page.performance.getEntriesByType("resource").map((entry) => entry.name),
      ascending, descending: column(),
    };
  });
  document.getElementById("found").textContent = JSON.stringify(found);
}, 1000));
</script>"""
WATCH = """<script>
window.errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("securitypolicyviolation", (event) => errors.push(event.violatedDirective + " " + event.blockedURI));
for (const kind of ["error", "warn"]) console[kind] = (...words) => errors.push(words.join(" "));
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_works_in_a_browser(everything: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    arguments = everything()
    build(**arguments)
    page: Path = arguments["out"]
    page.write_text(page.read_text(encoding="utf-8").replace("<style>", WATCH + "<style>", 1), encoding="utf-8")
    outer = page.with_name("outer.html")
    outer.write_text(OUTER, encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'browser'}", outer.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90).stdout
    seen = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert seen is not None
    for frame in json.loads(unescape(seen[1])):
        assert frame["errors"] == []
        assert frame["requests"] == []
        assert frame["overflow"] <= 0
        assert frame["plots"] >= 5
        ascending = [float(value) for value in frame["ascending"]]
        assert ascending == sorted(ascending)
        assert len(set(ascending)) > 1
        assert [float(value) for value in frame["descending"]] == sorted(ascending, reverse=True)
