"""Folders that sources read. Changes in a folder do not rerun the generations that have read it; they are reported."""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workflow_scripts.common.class_folders import is_image
from workflow_scripts.common.config.catalog import SourceSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.folder_contents import Changes, Contents, read_contents, write_contents
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.remedies import redo, snakemake

GROWING = "docs/growing.md"
# Files that file managers write, in lower case. Hidden files are not read either.
LITTER = ("thumbs.db", "desktop.ini")


def is_begun(corpus: Corpus, generations: Generations, generation: str) -> bool:
    """Whether images of a generation have been downloaded; it then keeps its records."""
    return any(Path(path).exists() for path in generations.downloads(corpus, [generation]))


@dataclass(frozen=True)
class SourceFolder:
    """A folder that a source reads.

    Attributes:
        path: the folder.
        generation: the source's generation.
        source: the source's name.
        option: the config key of the folder.
        has_images: whether it contains images, not tables.
        is_listed: whether a table lists the images; others in the folder are then not read.
    """

    path: str
    generation: str
    source: str
    option: str
    has_images: bool
    is_listed: bool

    def is_read(self, name: str) -> bool:
        """Whether the source reads files of this name."""
        return not name.startswith(".") and (is_image(name) if self.has_images else name.lower() not in LITTER)

    def contents(self) -> Contents | None:
        """Its present contents; None if it cannot be read, which stops the generation that reads it."""
        try:
            return Contents.of(Path(self.path), self.is_read)
        except (InputError, OSError):
            return None

    def changes(self, contents: Contents) -> Changes:
        """How it differs from earlier contents."""
        if self.is_listed and contents.files is None:
            # A name that is new may not be in the table.
            return Changes()
        try:
            found = contents.changes(Path(self.path), self.is_read)
        except (InputError, OSError):
            return Changes()
        return replace(found, added=()) if self.is_listed else found


def changed_folders(corpus: Corpus, generations: Generations, planned: Collection[str] = ()) -> Iterator[str]:
    """A line for each folder that has changed since the newest generation that names it has read it.

    Args:
        corpus: the corpus.
        generations: its generations with their sources.
        planned: files that the plan makes; records among them are read anew.
    """
    newest = {os.path.realpath(folder.path): folder for folder in _folders(generations)}
    for folder in newest.values():
        records = corpus.source(generation=folder.generation, source=folder.source)
        record = corpus.source_folders(generation=folder.generation, source=folder.source)
        if records in planned or not Path(records).exists():
            continue
        contents = (read_contents(Path(record)) or {}).get(folder.option)
        changes = folder.changes(contents) if contents is not None else Changes()
        if described := _described(changes, "images" if folder.has_images else "files"):
            remedies = _remedies(corpus, folder, changes, records)
            yield (
                f"source {folder.source}: {folder.path} has changed since generation {folder.generation} read it "
                f"({described}). {folder.generation} keeps what it read. {remedies}. "
                f"To accept the folder as it is, delete {record}"
            )


def record_folders(corpus: Corpus, generations: Generations, dag: Any = None) -> None:
    """Record the contents of folders, to find later what has changed.

    Args:
        corpus: the corpus.
        generations: its generations with their sources.
        dag: Snakemake's plan: record the folders that its jobs are about to read. Without a plan, record those that
            were read and have no record, and those that were copied since.
    """
    folders: dict[tuple[str, str], list[SourceFolder]] = {}
    for folder in _folders(generations):
        folders.setdefault((folder.generation, folder.source), []).append(folder)
    about_to = {
        (job.wildcards.generation, job.wildcards.source)
        for job in (dag.needrun_jobs() if dag else ())
        if job.rule.name == "catalog_source"
    }
    for (generation, source), of_source in folders.items():
        path = Path(corpus.source_folders(generation=generation, source=source))
        if dag is not None:
            due = (generation, source) in about_to
        else:
            due = Path(corpus.source(generation=generation, source=source)).exists() and _is_due(of_source, path)
        if not due:
            continue
        # Without a record, changes are not reported; nothing else depends on it.
        with suppress(OSError):
            found = {folder.option: folder.contents() for folder in of_source}
            write_contents(path, {option: contents for option, contents in found.items() if contents is not None})


def _is_due(folders: Collection[SourceFolder], path: Path) -> bool:
    """Whether folders have no record, or all are as recorded except for their times."""
    if (record := read_contents(path)) is None:
        return True
    changes = [folder.changes(record[folder.option]) for folder in folders if folder.option in record]
    return any(one.is_copy for one in changes) and not any(_described(one, "") for one in changes)


def _folders(generations: Generations) -> Iterator[SourceFolder]:
    """The existing folders of all sources, oldest generation first."""
    for generation, sources in generations.sources.items():
        for source in filter(None, sources.values()):
            for option, path in _given(source).items():
                if Path(path).is_dir():
                    has_images = option in source.image_folders
                    yield SourceFolder(path, generation, source.name, option, has_images, option not in source.inputs)


def _given(source: SourceSettings) -> dict[str, str]:
    return {option: path for option, path in (source.inputs | source.image_folders).items() if isinstance(path, str)}


def _described(changes: Changes, unit: str) -> str:
    """The changes in words, with an example of each kind; "" if there are none."""
    if changes.folders:
        return f"{unit} were added, removed or renamed in {changes.folders[0]}"
    kinds = {"added": changes.added, "removed": changes.removed, "overwritten": changes.overwritten}
    return ", ".join(
        f"{unit} {kind}: {len(paths):,}, such as {sorted(paths)[0]}" for kind, paths in kinds.items() if paths
    )


def _remedies(corpus: Corpus, folder: SourceFolder, changes: Changes, records: str) -> str:
    remedies = f"To add new and overwritten files, append a generation that reads the folder again ({GROWING})"
    if not (changes.added or changes.removed or changes.folders):
        # Downloads are kept by the image's path: redoing them does not read its new content.
        return remedies
    finished = {
        "download": corpus.download_part.found(),
        "screen": corpus.findings_group.found(),
        "shards": corpus.shards_account.found(),
    }
    command = snakemake("data", "--forcerun", records, config=redo([step for step, files in finished.items() if files]))
    return f"{remedies}; to replace {folder.generation}: `{command}`"
