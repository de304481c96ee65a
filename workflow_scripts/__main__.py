"""`python -m workflow_scripts` lists the commands for people, by purpose.

Each summary is the first sentence of the command's module docstring. Steps that only rules run are not listed;
`snakemake -np` prints their commands.
"""

import ast
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
WIDTH = 100
COMMANDS: dict[str, tuple[str, ...]] = {
    "Start with your own photos": ("common.init",),
    "Plan a run": ("common.doctor", "report.scale", "download.estimate"),
    "Follow a run": ("report.progress", "download.status", "report.table", "report.compare"),
    "Understand names": ("taxonomy.explain", "taxonomy.diff"),
    "Use a model": ("evaluate.predict", "evaluate.embed_images", "train.export_transformers"),
    "Trace data and models": ("report.trace", "report.trained_on", "train.data"),
    "Check and change a corpus": ("shards.verify", "curate.takedown", "shards.export_reference_layout"),
    "Publish": ("report.upload",),
    "Run the embedded world": ("world.serve",),
}


def summary_of(module: str) -> str:
    """The first sentence of a module's docstring."""
    source = HERE.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    text = " ".join((ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "."


def index() -> str:
    """The list of commands with their summaries, by purpose."""
    lines = ["usage: python -m workflow_scripts.COMMAND --help"]
    for purpose, modules in COMMANDS.items():
        lines += ["", f"{purpose}:"]
        for module in modules:
            lines += [
                f"  {module}",
                textwrap.fill(summary_of(module), WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6),
            ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(index())
