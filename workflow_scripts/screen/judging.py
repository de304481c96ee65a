"""Run a judge on the images of a group of parts, in batches, and write a table of findings for each part.

Findings are kept per picture: a work folder belongs to a judge and a part, and contains the findings in every picture
that the judge has examined there. A killed job resumes after its last chunk, new images are judged without the others
again, and another predicate or number of groups examines no picture twice.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import duckdb
from tyro.conf import OmitArgPrefixes

from workflow_scripts.common import job_costs, tables
from workflow_scripts.common.accounts import write_account
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.config.screen import UNJUDGED
from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import link
from workflow_scripts.common.images import RgbImage, decode
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.stored_images import Stored, StoredImages
from workflow_scripts.common.work_folder import DONE, WorkFolder, open_work_folder
from workflow_scripts.contracts import CATALOG, DOWNLOADS, FINDINGS, SEEN_FINDINGS
from workflow_scripts.screen.part_files import CHUNKS, FOUND, SEEN
from workflow_scripts.screen.summary import account_of_findings

logger = logging.getLogger(__name__)

# Images per chunk; an interrupted job loses at most one chunk.
CHUNK = 1024
# Batches that are read and prepared ahead of the current one.
AHEAD = 2

Prepared = TypeVar("Prepared")


class Finding(NamedTuple):
    """A judge's finding in an image.

    Attributes:
        label: a class of the judge.
        score: the judge's score of the class; its scale depends on the judge.
    """

    label: str
    score: float


@dataclass(frozen=True)
class Judge(Generic[Prepared]):
    """A judge that is ready to examine images.

    Attributes:
        key: what its findings depend on: digests of weights and classes, settings, precision, code version.
        prepare: prepares a decoded image, in a thread.
        judge: returns at least one finding for each image of a batch, independent of the other images in it.
        batch: images per batch.
        ahead: batches to read and prepare ahead.
    """

    key: Mapping[str, Any]
    prepare: Callable[[RgbImage], Prepared]
    judge: Callable[[Sequence[Prepared]], Sequence[Sequence[Finding]]]
    batch: int
    ahead: int = AHEAD


@dataclass(frozen=True)
class Group:
    """The images that one job examines, and its outputs.

    Attributes:
        name: the judge's name in the config.
        of: SQL predicate over the catalog that selects the images to examine.
        parts: the catalog parts.
        manifests: the manifests of their downloads, in the same order.
        out_dir: the folder for the parts' findings (`part-NNNN.parquet`, contract FINDINGS).
        account: the account of the group to write.
        work: the folder of work folders.
        limits: images per forward pass on a GPU, and threads that read images.
        threads: threads of the forward pass.
    """

    name: str
    of: str
    parts: tuple[Path, ...]
    manifests: tuple[Path, ...]
    out_dir: Path
    account: Path
    work: Path
    limits: EmbedLimits = EmbedLimits()  # noqa: RUF009 (frozen)
    threads: int = 1


GroupOptions = OmitArgPrefixes[Group]
"""A step's parameter whose attributes are options of the command: `--parts`, not `--group.parts`."""


def judge_group(judge: Judge[Any], group: Group) -> None:
    """Judge the images of a group of parts.

    Args:
        judge: the judge.
        group: the parts.

    Raises:
        InputError: a table breaks its contract, `of` is not valid for the catalog, or a tar is damaged.
    """
    if len(group.parts) != len(group.manifests):
        raise InputError(
            f"--parts, --manifests: {len(group.parts)} catalog parts, but {len(group.manifests)} manifests; "
            "give one manifest for each part"
        )
    group.account.parent.mkdir(parents=True, exist_ok=True)
    group.account.unlink(missing_ok=True)
    findings = []
    for part, manifest in zip(group.parts, group.manifests, strict=True):
        name = manifest.parent.name
        published = group.out_dir / f"{name}.parquet"
        key = {"name": name, "judge": group.name, **judge.key}
        with open_work_folder(group.work, key, target=published) as folder:
            findings.append(published)
            _judge_part(judge, group, part, manifest, folder)
            link(folder.path / FOUND, published)
    with tables.connect() as connection:
        tables.read(connection, findings, FINDINGS, "findings")
        account = account_of_findings(connection, "findings", f"{group.name} {group.account.name.partition('.')[0]}")
    write_account(group.account, account)


def _judge_part(judge: Judge[Any], group: Group, part: Path, manifest: Path, folder: WorkFolder) -> None:
    """Write the part's findings into its work folder; judge only the pictures that are not in it."""
    if (folder.path / DONE).exists() and not folder.finished:
        # A finished file was changed or removed, so the findings cannot be trusted.
        (folder.path / SEEN).unlink(missing_ok=True)
    (folder.path / DONE).unlink(missing_ok=True)
    with tables.connect() as connection:
        _read_wanted(connection, part, manifest, group)
        _read_seen(connection, folder.path)
        missing = connection.execute(
            'SELECT uuid, picture, tar, "offset", size FROM wanted ANTI JOIN seen USING (uuid, picture) ORDER BY uuid'
        ).fetchall()
        images = tables.scalar(connection, "SELECT count(*) FROM wanted")
    logger.info("%s, %s: %d images, %d of them judged before", group.name, part, images, images - len(missing))
    if missing:
        job_costs.note("done")
    _judge_missing(judge, group, missing, manifest.parent, folder.path)
    with tables.connect() as connection:
        _read_wanted(connection, part, manifest, group)
        _read_seen(connection, folder.path)
        # A job that was killed after writing SEEN left its chunks beside it.
        connection.execute("CREATE TEMP TABLE kept AS SELECT DISTINCT * FROM seen")
        tables.write(connection, "FROM kept", SEEN_FINDINGS, folder.path / SEEN)
        tables.write(
            connection,
            f"SELECT uuid, {tables.literal(group.name)} AS judge, label, score, error, wanted.data_source FROM kept "
            "INNER JOIN wanted USING (uuid, picture)",
            FINDINGS,
            folder.path / FOUND,
        )
    for chunk in folder.path.glob(CHUNKS):
        chunk.unlink()
    folder.finish([SEEN, FOUND])


def _read_wanted(connection: duckdb.DuckDBPyConnection, part: Path, manifest: Path, group: Group) -> None:
    """Create the table `wanted`: the downloaded images that match the judge's predicate, with their tars."""
    tables.read(connection, part, CATALOG, "catalog")
    tables.read(connection, manifest, DOWNLOADS, "downloads")
    try:
        connection.view("catalog").filter(group.of).create_view("selected", replace=True)
        connection.execute(
            "CREATE TEMP TABLE wanted AS SELECT downloads.uuid, selected.data_source, "
            # A picture is a file and a crop of it, as for duplicates.
            "concat_ws(' ', downloads.md5, selected.crop::VARCHAR) AS picture, "
            'downloads.tar, downloads."offset", downloads.size '
            "FROM selected INNER JOIN downloads USING (uuid) WHERE downloads.status = 'ok'"
        )
    except duckdb.Error as error:
        raise InputError(f"screen.{group.name}.of: {group.of!r} is not valid for {part}: {first_line(error)}") from None


def _read_seen(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Create the view `seen`: the judge's findings in this part so far."""
    files = []
    for path in (folder / SEEN, *sorted(folder.glob(CHUNKS))):
        if path.exists():
            try:
                tables.read(connection, path, SEEN_FINDINGS, "seen")
            except InputError as error:
                # Truncated by a full disk or a lost node.
                logger.warning("%s; removed, its images are judged again", error)
                path.unlink()
            else:
                files.append(path)
    tables.read(connection, files, SEEN_FINDINGS, "seen")


def _judge_missing(
    judge: Judge[Any], group: Group, missing: Sequence[tuple[Any, ...]], downloads: Path, folder: Path
) -> None:
    """Judge images that were not judged before, and write the findings in chunks."""
    number = 1 + max((int(path.stem.rpartition("-")[2]) for path in folder.glob(CHUNKS)), default=-1)
    rows: list[dict[str, Any]] = []
    done = written = 0
    with Progress(f"{group.name} {downloads.name}", len(missing), "images") as progress:
        for batch in _prepared(judge, missing, downloads, group.limits.workers):
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
            done += len(batch)
            if done - written >= CHUNK or done == len(missing):
                tables.write_rows(rows, SEEN_FINDINGS, folder / f"chunk-{number:05d}.parquet")
                rows, written, number = [], done, number + 1


def _prepared(
    judge: Judge[Prepared], rows: Sequence[tuple[Any, ...]], downloads: Path, workers: int
) -> Iterator[list[tuple[tuple[Any, ...], Prepared | None, str | None]]]:
    """Yield batches of rows with their prepared images, or the error if an image cannot be read."""
    reader = StoredImages()

    def ready(row: tuple[Any, ...]) -> tuple[tuple[Any, ...], Prepared | None, str | None]:
        uuid, _, tar, offset, size = row
        data = reader.read(Stored(uuid, downloads, tar, offset, size))
        try:
            return row, judge.prepare(decode(data)), None
        except Exception as error:
            # Decoders raise exceptions of any class on broken files.
            return row, None, " ".join(str(error).split()) or type(error).__name__

    batches = (rows[start : start + judge.batch] for start in range(0, len(rows), judge.batch))
    if not workers:
        yield from ([ready(row) for row in batch] for batch in batches)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[list[Future[tuple[tuple[Any, ...], Prepared | None, str | None]]]] = deque()
        for batch in batches:
            waiting.append([pool.submit(ready, row) for row in batch])
            if len(waiting) > judge.ahead:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]
