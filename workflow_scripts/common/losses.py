"""Lost rows of each source, the share that may be lost, and the error message if more are lost."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.common.accounts import Account, SourceRows, read_account
from workflow_scripts.common.config.loss import REPLAY, LossSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.contracts import VERDICT_REASONS

LEFT_OUT = {
    "catalog": frozenset(
        {
            *("not_selected", "repeated", "in_older_generation", "train_small", "other_folder", "rejected"),
            *("not_an_image", "sonogram", "material_citation"),
        }
    ),
    "download": frozenset({"taken_down"}),
    REPLAY: frozenset({"taken_down"}),
    # Images that were not downloaded are counted in the download stage.
    "curate": frozenset(VERDICT_REASONS) - {"unresolved", "placeholder"},
}
"""Reasons, by stage, that a setting or the corpus itself gives. Rows dropped for any other reason are lost."""

NOT_DOWNLOADED = ("download_failed", "unreadable")
"""Verdicts on images that were not downloaded."""
SHARED_REASONS = ("too_small", "taken_down")
"""Reasons that downloads and verdicts share."""

MAX_CAUSES = 3


@dataclass(frozen=True)
class Cause:
    """Rows that were lost for the same reason.

    Attributes:
        reason: the reason, in one word.
        rows: number of rows.
        place: where, such as a host; "" if not applicable.
        retriable: number of these rows that `retry_failed` requests again.
    """

    reason: str
    rows: int
    place: str = ""
    retriable: int = 0

    def __str__(self) -> str:
        return f"{self.reason} {self.rows:,}" + (f" at {self.place}" if self.place else "")


@dataclass(frozen=True)
class Explanation:
    """Why rows were lost, and what to do about it.

    Attributes:
        causes: the causes.
        where: the list of lost rows.
        remedies: what to do, one clause each.
    """

    causes: Sequence[Cause]
    where: Path
    remedies: Sequence[str] = ()


@dataclass(frozen=True)
class Loss:
    """Rows that one source lost in a stage.

    Attributes:
        source: the source's rows.
        rows: number of lost rows.
        allowed: share of the rows that may be lost.
    """

    source: SourceRows
    rows: int
    allowed: float

    @property
    def share(self) -> float:
        """Share of the rows that are lost."""
        return self.rows / self.source.rows_in if self.source.rows_in else 0.0

    @property
    def is_too_much(self) -> bool:
        """Whether more than the allowed share is lost."""
        return self.share > self.allowed


def not_lost_before(downloads: Mapping[str, int], verdicts: Mapping[str, int]) -> Counter[str]:
    """Rows dropped by verdicts, by reason, without those lost in downloads, which verdicts count again."""
    if not downloads:
        return Counter(verdicts)
    before = Counter({reason: downloads.get(reason, 0) for reason in SHARED_REASONS})
    return Counter(verdicts) - before - Counter(dict.fromkeys(NOT_DOWNLOADED, sum(downloads.values())))


def lost_of(stage: str, dropped: Mapping[str, int]) -> dict[str, int]:
    """The lost rows among those that a stage dropped, by reason."""
    return {reason: rows for reason, rows in dropped.items() if rows and reason not in LEFT_OUT[stage]}


def losses_of(stage: str, sources: Iterable[SourceRows], max_loss: LossSettings) -> list[Loss]:
    """Losses of each source in a stage, the largest share first."""
    found = [
        Loss(
            source,
            sum(lost_of(stage, source.dropped).values()),
            max_loss.of(source.source, is_local=source.is_local),
        )
        for source in sources
    ]
    return sorted(found, key=lambda loss: (-loss.share, loss.source.source))


def check_losses(
    stage: str,
    unit: str,
    sources: Iterable[SourceRows],
    max_loss: LossSettings,
    explain: Callable[[SourceRows], Explanation],
    *,
    where: Path,
    out: Path,
) -> None:
    """Write the losses of a stage's sources as JSON, unless one is too large.

    Args:
        stage: the stage.
        unit: what a row is, in the plural.
        sources: rows of each source.
        max_loss: the maximum loss of each source.
        explain: explains the loss of the source that lost the largest share.
        where: the list of lost rows.
        out: the JSON file.

    Raises:
        InputError: a source lost more than its maximum.
    """
    losses = losses_of(stage, sources, max_loss)
    if beyond := [loss for loss in losses if loss.is_too_much]:
        raise refuse(stage, unit, beyond, explain(beyond[0].source))
    write_losses(out, stage, losses, where)


def refuse(stage: str, unit: str, losses: Sequence[Loss], why: Explanation) -> InputError:
    """The error that stops a run because sources lost too much: how much, why, where the list is, what to do.

    Args:
        stage: the stage.
        unit: what a row is, in the plural.
        losses: losses of the sources that lost too much, the worst first.
        why: explains the worst loss.
    """
    worst, *others = losses
    name = worst.source.source
    ordered = sorted(why.causes, key=lambda cause: -cause.rows)
    shown = ", ".join(map(str, ordered[:MAX_CAUSES]))
    if rest := sum(cause.rows for cause in ordered[MAX_CAUSES:]):
        shown += f", others {rest:,}"
    also = "".join(f", {other.source.source} ({_percent(other.share)} %)" for other in others)
    enough = whole_percent(worst.share)
    clauses = [*why.remedies, f"set max_loss.sources.{name}: {enough:g} to continue without them"]
    return InputError(
        f"{stage}: source {name} lost {worst.rows:,} of {worst.source.rows_in:,} {unit} "
        f"({_percent(worst.share)} %, max_loss is {_percent(worst.allowed)} %)"
        + (f": {shown}" if shown else "")
        + (f"; too many lost also of {also.removeprefix(', ')}" if also else "")
        + f". List: {why.where}. Remedy: "
        + "; or ".join(clauses)
    )


def whole_percent(share: float) -> float:
    """A share rounded up to a whole percentage, so that as `max_loss` it allows a loss of that share."""
    return min(1.0, math.ceil(100 * share) / 100)


def retry_remedies(causes: Sequence[Cause]) -> Iterator[str]:
    """Remedies with `retry_failed` for losses that may be temporary, one clause each."""
    large = sum(cause.retriable for cause in causes if cause.reason == "needs_memory")
    others = sum(cause.retriable for cause in causes) - large
    command = f"`{snakemake('retry_failed')}` requests"
    if others:
        missing = any(cause.reason == "missing_file" for cause in causes)
        yield f"{'restore the files that the list names, then ' if missing else ''}{command} {others:,} of them again"
    # They are deferred again unless the limit is raised.
    if large:
        yield f"raise limits.download.image_memory_mb to the value in the list, then {command} {large:,} of them again"


def is_empty(account: Account, older: Iterable[Path]) -> bool:
    """Whether neither a generation nor any older one, given by their accounts, kept a row."""
    return not account.kept and not any(read_account(path).kept for path in older)


def refuse_nothing(account: Account, why: Explanation, missing: str = "the corpus has no images") -> InputError:
    """The error that stops a run because no row is left; `missing` says what is empty."""
    shown = ", ".join(map(str, sorted(why.causes, key=lambda cause: -cause.rows)[:MAX_CAUSES]))
    return InputError(
        f"{account.stage}: {missing}: none of the {account.rows_in:,} {account.unit} of {account.part} were kept"
        + (f": {shown}" if shown else "")
        + f". List: {why.where}"
        + (f". Remedy: {'; or '.join(why.remedies)}" if why.remedies else "")
    )


def write_losses(path: Path, stage: str, losses: Sequence[Loss], where: Path) -> None:
    """Write the checked losses and the path of the list of lost rows, as JSON."""
    write_json(
        path,
        [
            {
                "stage": stage,
                "list": str(where),
                "source": loss.source.source,
                "is_local": loss.source.is_local,
                "rows_in": loss.source.rows_in,
                "lost": loss.rows,
                "max_loss": loss.allowed,
            }
            for loss in losses
        ],
    )


def too_much_by_now(dag: Any, max_loss: LossSettings) -> str:
    """The error message if a finished loss check exceeds the config's present `max_loss`; "" if none does.

    Checks are not rerun when `max_loss` changes: they are ancient inputs of the jobs that follow, because Snakemake
    overlooks other changes behind a job that runs again.

    Args:
        dag: Snakemake's plan.
        max_loss: the allowed share of each source.
    """
    planned = set(dag.needrun_jobs(exclude_finished=False))
    for job in sorted(dag.jobs, key=str):
        path = Path(str(job.output[0])) if job.rule.name.endswith("_loss") else None
        # The file may have been purged, if no later job needs it.
        if path is None or job in planned or not path.exists():
            continue
        for one in json.loads(path.read_text(encoding="utf-8")):
            source = SourceRows(one["source"], one["is_local"], one["rows_in"], one["rows_in"] - one["lost"], {})
            loss = Loss(source, one["lost"], max_loss.of(source.source, is_local=source.is_local))
            if loss.is_too_much:
                return str(refuse(one["stage"], "rows", [loss], Explanation((), Path(one["list"]))))
    return ""


def may_come() -> str:
    """SQL of the macro `may_come(status, error, http_status)`: whether `retry_failed` requests an image again."""
    return Path(__file__).with_name("may_come.sql").read_text(encoding="utf-8")


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"
