"""Folders that sources read. Changes in a folder do not rerun the generations that have read it; they are reported."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from workflow_scripts.common.class_folders import folders_below
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.remedies import redo, snakemake

GROWING = "docs/growing.md"


def is_begun(corpus: Corpus, generations: Generations, generation: str) -> bool:
    """Whether images of a generation have been downloaded; it then keeps its records."""
    return any(Path(path).exists() for path in generations.downloads(corpus, [generation]))


def changed_folders(corpus: Corpus, generations: Generations, planned: Collection[str] = ()) -> Iterator[str]:
    """A line for each folder that has changed since the newest generation that names it has read it.

    Args:
        corpus: the corpus.
        generations: its generations with their sources.
        planned: files that the plan makes; records among them are read anew.
    """
    newest = {
        os.path.realpath(path): (generation, source.name, path)
        for generation, sources in generations.sources.items()
        for source in sources.values()
        if source is not None
        for path in source.inputs.values()
        if isinstance(path, str) and Path(path).is_dir()
    }
    for generation, source, path in newest.values():
        records = corpus.source(generation=generation, source=source)
        if records in planned or not Path(records).exists():
            continue
        if (changed := _changed_since(Path(path), Path(records).stat().st_mtime_ns)) is None:
            continue
        finished = {
            "download": corpus.download_part.found(),
            "screen": corpus.findings_group.found(),
            "shards": corpus.shards_account.found(),
        }
        command = snakemake(
            "data", "--forcerun", records, config=redo([step for step, files in finished.items() if files])
        )
        yield (
            f"source {source}: {changed} has changed since generation {generation} read {path}, which keeps what it "
            f"read. To add what is new, append a generation that reads the folder again ({GROWING}); to replace "
            f"{generation}: `{command}`"
        )


def _changed_since(root: Path, time_ns: int) -> str | None:
    """The first folder of a tree whose list of files has changed after a time (ns); None if there is none."""
    try:
        return next((folder for folder, _ in folders_below(root) if Path(folder).stat().st_mtime_ns > time_ns), None)
    except (InputError, OSError):
        # A folder that cannot be read stops the generation that reads it.
        return None
