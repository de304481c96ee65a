"""Run img2dataset's Downloader on one shard, in this process, with the project's own fetch function.

img2dataset's fetch function requests any address, follows any redirect and reads bodies of any size. It is replaced
when this module is imported, and no download starts before a test call has reached the replacement.
"""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from workflow_scripts.common.torchless import modules_replaced, torch_hidden
from workflow_scripts.download.attempts import ATTEMPT_FIELDS, IMAGES, Attempt, Earlier, Fault, Fetch, Row
from workflow_scripts.download.memory import Memory
from workflow_scripts.download.schedule import Answer, Schedule
from workflow_scripts.download.verify import Body, Verifier

# Libraries of img2dataset's own resizer and logger, which are not used here; they take a second to import.
UNUSED = ("albumentations", "wandb")

with torch_hidden(), modules_replaced({name: ModuleType(name) for name in UNUSED}):
    from img2dataset import downloader as img2dataset_downloader
    from img2dataset.writer import ParquetSampleWriter

logger = logging.getLogger(__name__)

SHARD_NAME_DIGITS = 5
# Not a URL: img2dataset's own function would reject it without a request.
_CANARY = (-1, "")


def _refuse_to_fetch(row: tuple[int, str], *others: Any, **options: Any) -> Answer:
    raise RuntimeError("img2dataset tried to fetch outside the download step")


img2dataset_downloader.download_image = _refuse_to_fetch


@contextlib.contextmanager
def fetching_by(fetch: Callable[[int], Answer]) -> Iterator[None]:
    """Make img2dataset call `fetch` with a row's number in the shard, and verify it.

    Raises:
        RuntimeError: img2dataset does not call `fetch` (an incompatible version or patch).
    """
    answered = False

    def download_image(row: tuple[int, str], *others: Any, **options: Any) -> Answer:
        if row == _CANARY:
            nonlocal answered
            answered = True
            return row[0], None, "canary"
        return fetch(row[0])

    img2dataset_downloader.download_image = download_image
    try:
        img2dataset_downloader.download_image_with_retry(
            _CANARY, timeout=1, retries=0, user_agent_token=None, disallowed_header_directives=None
        )
        if not answered:
            raise RuntimeError("img2dataset does not use this project's fetch function; nothing was downloaded")
        yield
    finally:
        img2dataset_downloader.download_image = _refuse_to_fetch


class AttemptWriter(ParquetSampleWriter):
    """img2dataset's parquet writer, with the fields of `Attempt` added to each row.

    Images are appended to a file beside the table, since a table of images would have to be sorted in memory.
    """

    def __init__(
        self,
        *arguments: Any,
        attempts: Mapping[str, Attempt],
        earlier: Mapping[str, Earlier],
        on_row: Callable[[bool], None],
    ) -> None:
        shard_id, folder, *others, schema, encode_format = arguments
        ours = {field.name for field in ATTEMPT_FIELDS}
        fields = [*(field for field in schema if field.name not in ours), *ATTEMPT_FIELDS]
        super().__init__(shard_id, folder, *others, pa.schema(fields), encode_format)
        self._images = (Path(folder) / f"{shard_id:0{SHARD_NAME_DIGITS}d}.parquet").with_suffix(IMAGES).open("wb")
        self._attempts = attempts
        self._earlier = earlier
        self._on_row = on_row
        self.written = 0

    def write(self, img_str: bytes | None, key: str, caption: str | None, meta: dict[str, Any]) -> None:
        """Add a row; `img_str` is the kept JPEG, if any."""
        attempt = self._attempts[meta["uuid"]]
        if img_str is not None:
            attempt.image_offset, attempt.image_size = self._images.tell(), len(img_str)
            self._images.write(img_str)
        found = meta | asdict(attempt)
        if attempt.uuid in self._earlier and not attempt.transient:
            # img2dataset's measures are those of the reused JPEG, not of the original body.
            found |= self._earlier[attempt.uuid].measures
        super().write(None, key, caption, found)
        self.written += 1
        self._on_row(img_str is not None)

    def close(self) -> None:
        """Close both files."""
        self._images.close()
        super().close()


def run_shard(
    rows: Sequence[Row],
    *,
    pass_number: int,
    fetch: Fetch,
    schedule: Schedule,
    memory: Memory,
    verify: Verifier,
    threads: int,
    folder: Path,
    on_row: Callable[[bool], None],
) -> Path:
    """Fetch and verify rows over up to `threads` connections.

    Args:
        rows: at least one row.
        pass_number: number of the pass.
        fetch: returns a row's body or raises `Fault`; called by many threads, once for all rows with the same URL.
        schedule: decides which row is next.
        memory: limits the memory of bodies.
        verify: checks each body.
        threads: maximum number of connections.
        folder: an empty folder for img2dataset's files.
        on_row: called after each row with whether the image was downloaded.

    Returns:
        A parquet file in `folder` with one row for each of `rows`: uuid, url, host, the fields of `Attempt`, and
        img2dataset's width, height and md5. The kept images are beside it in a file with the suffix `IMAGES`.
    """
    attempts = {row.uuid: Attempt(row.uuid, pass_number) for row in rows}
    earlier = {row.uuid: row.earlier for row in rows if row.earlier is not None}
    writers: list[AttemptWriter] = []

    def fetch_next(_: int) -> Answer:
        """Answer any row, not the one that img2dataset asks for: the schedule knows which hosts may get a request."""
        task = schedule.take()
        if task.answer is not None:
            return task.answer
        row = rows[task.numbers[0]]
        attempt = attempts[row.uuid]
        data = None
        room = memory.begin()
        try:
            if task.fault is not None:
                raise task.fault
            try:
                data = fetch(row, attempt, room)
            finally:
                schedule.done(row.host)
        except Fault as fault:
            attempt.fail(fault)
        except Exception as error:
            logger.exception("%s: unexpected error", row.url)
            attempt.fail(Fault("other", f"{type(error).__name__}: {error}"))
        if data is None:
            room.give_back()
        else:
            room.share(len(task.numbers))
        bodies: list[Body] = []
        for number in task.numbers:
            own_attempt = attempts[rows[number].uuid]
            if own_attempt is not attempt:
                vars(own_attempt).update(asdict(replace(attempt, uuid=own_attempt.uuid)))
            if data is not None:
                bodies.append(Body(data, own_attempt, rows[number], room))
        answers: list[Answer] = [(number, None, attempt.error) for number in task.numbers]
        if bodies:
            if row.earlier is None:
                verify.check(bodies)
            else:
                bodies[0].accept(row.earlier.measures)
            answers = [(number, body, None) for number, body in zip(task.numbers, bodies, strict=True)]
        schedule.give(answers[1:])
        return answers[0]

    def make_writer(*arguments: Any) -> AttemptWriter:
        writers.append(AttemptWriter(*arguments, attempts=attempts, earlier=earlier, on_row=on_row))
        return writers[-1]

    downloader = img2dataset_downloader.Downloader(
        sample_writer_class=make_writer,
        resizer=verify,
        thread_count=threads,
        save_caption=False,
        extract_exif=False,
        output_folder=str(folder),
        column_list=["uuid", "url", "host"],
        # The fetch function handles timeouts, retries, user agent and robots directives.
        timeout=None,
        number_sample_per_shard=len(rows),
        oom_shard_count=SHARD_NAME_DIGITS,
        compute_hash="md5",
        verify_hash_type=None,
        encode_format="jpg",
        retries=0,
        user_agent_token=None,
        disallowed_header_directives=None,
    )
    todo = folder / "todo.arrow"
    table = pa.table({name: [getattr(row, name) for row in rows] for name in ("uuid", "url", "host")})
    with pa.OSFile(str(todo), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    printed = io.StringIO()
    with fetching_by(fetch_next), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        downloader.download_shard((0, str(todo)))
    if printed.getvalue():
        logger.info("img2dataset: %s", printed.getvalue().strip())
    # If a row breaks img2dataset's loop, it only prints the error.
    if [writer.written for writer in writers] != [len(rows)]:
        raise RuntimeError(f"img2dataset lost rows of a shard of {len(rows)}: {printed.getvalue().strip()[-500:]}")
    return folder / f"{0:0{SHARD_NAME_DIGITS}d}.parquet"
