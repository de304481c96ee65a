"""What all judges share: the images of a group of parts, batch by batch, and a table of findings for each part.

Findings are kept per image: a work folder belongs to a judge and a part, and holds what the judge found in each picture
that it has seen there. A killed job goes on after its last chunk; images that come later are judged alone; another
predicate or another number of groups looks at nothing twice.
"""

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import duckdb
from PIL import Image

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import write_account
from workflow_scripts.common.config.screen import UNJUDGED
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import link
from workflow_scripts.common.images import FORMATS
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.stored_images import Stored, StoredImages
from workflow_scripts.common.work_folder import DONE, WorkFolder, open_work_folder
from workflow_scripts.contracts import CATALOG, DOWNLOADS, FINDINGS, SEEN_FINDINGS
from workflow_scripts.screen.part_files import CHUNKS, FOUND, SEEN
from workflow_scripts.screen.summary import account_of_findings

logger = logging.getLogger(__name__)

# Images after which an interrupted job need not start again.
CHUNK = 1024
# Batches that are read and prepared ahead of the one in hand.
AHEAD = 2

Prepared = TypeVar("Prepared")


class Finding(NamedTuple):
    """What a judge found in an image.

    Attributes:
        label: a class of the judge.
        score: how sure it is; what that means is the judge's.
    """

    label: str
    score: float


@dataclass(frozen=True)
class Judge(Generic[Prepared]):
    """A judge that is ready to look at images.

    Attributes:
        name: its name in the config.
        key: what its findings depend on: digests of weights and classes, settings, precision, code version.
        prepare: makes an image ready, on a thread of its own.
        judge: the findings of each image of a batch, at least one; which images are together changes none.
        batch: images a batch.
    """

    name: str
    key: Mapping[str, Any]
    prepare: Callable[[Image.Image], Prepared]
    judge: Callable[[Sequence[Prepared]], Sequence[Sequence[Finding]]]
    batch: int


@dataclass(frozen=True)
class Group:
    """The parts that one job looks at.

    Attributes:
        parts: their catalog parts.
        manifests: the manifests of their downloads, in the same order.
        of: SQL predicate over the catalog: the images to look at.
        out_dir: where each part's table goes (`part-NNNN.parquet`, contract FINDINGS).
        account: where the group's account goes.
        work: where the work folders are.
        workers: threads that read and prepare images.
    """

    parts: Sequence[Path]
    manifests: Sequence[Path]
    of: str
    out_dir: Path
    account: Path
    work: Path
    workers: int


def judge_group(judge: Judge[Any], group: Group) -> None:
    """Have a judge look at the images of a group of parts.

    Args:
        judge: the judge.
        group: the parts.

    Raises:
        InputError: a table breaks its contract, `of` does not work on the catalog, or a tar is damaged.
    """
    if len(group.parts) != len(group.manifests):
        raise InputError(f"{len(group.parts)} catalog parts and {len(group.manifests)} manifests; give one for each")
    group.account.parent.mkdir(parents=True, exist_ok=True)
    group.account.unlink(missing_ok=True)
    findings = []
    for part, manifest in zip(group.parts, group.manifests, strict=True):
        name = manifest.parent.name
        published = group.out_dir / f"{name}.parquet"
        key = {"name": name, "judge": judge.name, **judge.key}
        with open_work_folder(group.work, key, target=published) as folder:
            findings.append(published)
            _judge_part(judge, group, part, manifest, folder)
            link(folder.path / FOUND, published)
    with tables.connect() as connection:
        tables.read(connection, findings, FINDINGS, "findings")
        account = account_of_findings(connection, "findings", f"{judge.name} {group.account.name.partition('.')[0]}")
    write_account(group.account, account)


def _judge_part(judge: Judge[Any], group: Group, part: Path, manifest: Path, folder: WorkFolder) -> None:
    """Write the part's findings into its work folder, looking only at what was not seen before."""
    if (folder.path / DONE).exists() and not folder.finished:
        # Changed or missing since: nothing says any more what it was.
        (folder.path / SEEN).unlink(missing_ok=True)
    (folder.path / DONE).unlink(missing_ok=True)
    with tables.connect() as connection:
        _read_wanted(connection, part, manifest, group.of, judge.name)
        _read_seen(connection, folder.path)
        missing = connection.execute(
            'SELECT uuid, picture, tar, "offset", size FROM wanted ANTI JOIN seen USING (uuid, picture) ORDER BY uuid'
        ).fetchall()
        images = tables.scalar(connection, "SELECT count(*) FROM wanted")
    logger.info("%s, %s: %d images, %d of them seen before", judge.name, part, images, images - len(missing))
    _judge_missing(judge, missing, manifest.parent, folder.path, group.workers)
    with tables.connect() as connection:
        _read_wanted(connection, part, manifest, group.of, judge.name)
        _read_seen(connection, folder.path)
        # A job that was killed right here left what it had collected beside its chunks.
        connection.execute("CREATE TEMP TABLE kept AS SELECT DISTINCT * FROM seen")
        tables.write(connection, "FROM kept", SEEN_FINDINGS, folder.path / SEEN)
        tables.write(
            connection,
            f"SELECT uuid, {tables.literal(judge.name)} AS judge, label, score, error, wanted.data_source FROM kept "
            "INNER JOIN wanted USING (uuid, picture)",
            FINDINGS,
            folder.path / FOUND,
        )
    for chunk in folder.path.glob(CHUNKS):
        chunk.unlink()
    folder.finish([SEEN, FOUND])


def _read_wanted(connection: duckdb.DuckDBPyConnection, part: Path, manifest: Path, of: str, name: str) -> None:
    """The view `wanted`: the downloaded images for which the judge's predicate holds, and where they lie."""
    tables.read(connection, part, CATALOG, "catalog")
    tables.read(connection, manifest, DOWNLOADS, "downloads")
    try:
        connection.view("catalog").filter(of).create_view("asked", replace=True)
        connection.execute(
            "CREATE TEMP TABLE wanted AS SELECT downloads.uuid, asked.data_source, "
            # A picture is a file and a crop of it, as for duplicates.
            "concat_ws(' ', downloads.md5, asked.crop::VARCHAR) AS picture, "
            'downloads.tar, downloads."offset", downloads.size '
            "FROM asked INNER JOIN downloads USING (uuid) WHERE downloads.status = 'ok'"
        )
    except duckdb.Error as error:
        raise InputError(f"screen.{name}.of: {of!r} does not work on {part}: {str(error).splitlines()[0]}") from None


def _read_seen(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """The view `seen`: what the judge found in this part so far."""
    files = [path for path in (folder / SEEN, *sorted(folder.glob(CHUNKS))) if path.exists()]
    tables.read(connection, files, SEEN_FINDINGS, "seen")


def _judge_missing(
    judge: Judge[Any], missing: Sequence[tuple[Any, ...]], downloads: Path, folder: Path, workers: int
) -> None:
    """Write chunks of what the judge finds in images that it has not seen."""
    first = 1 + max((int(path.stem.rpartition("-")[2]) for path in folder.glob(CHUNKS)), default=-1)
    with Progress(f"{judge.name} {downloads.name}", len(missing), "images") as progress:
        for number, start in enumerate(range(0, len(missing), CHUNK), start=first):
            rows: list[dict[str, Any]] = []
            chunk = missing[start : start + CHUNK]
            for batch in _prepared(judge, chunk, downloads, workers):
                good = [prepared for _, prepared, error in batch if error is None]
                found = iter(judge.judge(good) if good else [])
                for (uuid, picture, *_), _, error in batch:
                    findings = next(found) if error is None else [Finding(UNJUDGED, float("nan"))]
                    rows += [
                        {
                            "uuid": uuid,
                            "picture": picture,
                            "label": finding.label,
                            "score": None if error is not None else finding.score,
                            "error": error,
                        }
                        for finding in findings
                    ]
                progress.update(len(batch))
            tables.write_rows(rows, SEEN_FINDINGS, folder / f"chunk-{number:05d}.parquet")


def _prepared(
    judge: Judge[Prepared], rows: Sequence[tuple[Any, ...]], downloads: Path, workers: int
) -> Iterator[list[tuple[tuple[Any, ...], Prepared | None, str | None]]]:
    """The batches of rows with their images made ready, or why one could not be; a few batches ahead."""
    reader = StoredImages()

    def ready(row: tuple[Any, ...]) -> tuple[tuple[Any, ...], Prepared | None, str | None]:
        uuid, _, tar, offset, size = row
        data = reader.read(Stored(uuid, downloads, tar, offset, size))
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return row, judge.prepare(image.convert("RGB")), None
        except Exception as error:
            # Parsers of broken files raise whatever they stumble over.
            return row, None, " ".join(str(error).split()) or type(error).__name__

    batches = [rows[start : start + judge.batch] for start in range(0, len(rows), judge.batch)]
    if not workers:
        yield from ([ready(row) for row in batch] for batch in batches)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = [[pool.submit(ready, row) for row in batch] for batch in batches[: AHEAD + 1]]
        for place in range(len(batches)):
            done = [future.result() for future in waiting.pop(0)]
            if place + AHEAD + 1 < len(batches):
                waiting.append([pool.submit(ready, row) for row in batches[place + AHEAD + 1]])
            yield done
