"""Lost rows of a source, the share allowed, and the error line when more are lost."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.common.accounts import Account, SourceRows
from workflow_scripts.common.config.loss import LossSettings
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
    # What did not come was judged before.
    "curate": frozenset(VERDICT_REASONS) - {"unresolved", "placeholder"},
}
"""By stage: reasons that settings or the corpus itself give. Rows that are dropped for any other reason are lost."""

NOT_THERE = ("download_failed", "unreadable")
"""Verdicts on images that did not come."""
AS_BEFORE = ("too_small", "taken_down")
"""Reasons that downloads and verdicts have in common."""

MOST_CAUSES = 3


@dataclass(frozen=True)
class Cause:
    """Rows that were lost alike.

    Attributes:
        reason: why, in a word.
        rows: how many.
        place: where, such as a host; "" where that says nothing.
        again: of so many `retry_failed` asks again.
    """

    reason: str
    rows: int
    place: str = ""
    again: int = 0

    def __str__(self) -> str:
        return f"{self.reason} {self.rows:,}" + (f" at {self.place}" if self.place else "")


@dataclass(frozen=True)
class Loss:
    """What one source lost in a stage.

    Attributes:
        source: the source's rows.
        rows: how many of them are lost.
        allowed: the share that may be.
    """

    source: SourceRows
    rows: int
    allowed: float

    @property
    def share(self) -> float:
        """The share that is lost."""
        return self.rows / self.source.rows_in if self.source.rows_in else 0.0

    @property
    def is_too_much(self) -> bool:
        """Whether it is more than is allowed."""
        return self.share > self.allowed


def not_lost_before(downloads: Mapping[str, int], verdicts: Mapping[str, int]) -> Counter[str]:
    """Of what verdicts drop by reason that which downloads did not lose: they count it once more, by fewer reasons."""
    if not downloads:
        return Counter(verdicts)
    before = Counter({reason: downloads.get(reason, 0) for reason in AS_BEFORE})
    return Counter(verdicts) - before - Counter(dict.fromkeys(NOT_THERE, sum(downloads.values())))


def lost_of(stage: str, dropped: Mapping[str, int]) -> dict[str, int]:
    """Of rows that a stage dropped by reason those that are lost."""
    return {reason: rows for reason, rows in dropped.items() if rows and reason not in LEFT_OUT[stage]}


def losses_of(stage: str, sources: Iterable[SourceRows], max_loss: LossSettings) -> list[Loss]:
    """What each source lost in a stage, the largest share first."""
    found = [
        Loss(
            source,
            sum(lost_of(stage, source.dropped).values()),
            max_loss.of(source.source, is_local=source.is_local),
        )
        for source in sources
    ]
    return sorted(found, key=lambda loss: (-loss.share, loss.source.source))


def refuse(
    stage: str,
    unit: str,
    losses: Sequence[Loss],
    causes: Sequence[Cause],
    *,
    where: Path,
    remedies: Iterable[str] = (),
) -> InputError:
    """The line that stops a run: what was lost, why, where the list is, and what to do.

    Args:
        stage: the stage that lost it.
        unit: what a row is, in the plural.
        losses: what the sources lost that lost too much, the worst first.
        causes: why the worst one lost its rows.
        where: the list of them.
        remedies: what mends it, a clause each.
    """
    worst, *others = losses
    name = worst.source.source
    ordered = sorted(causes, key=lambda cause: -cause.rows)
    shown = ", ".join(map(str, ordered[:MOST_CAUSES]))
    if rest := sum(cause.rows for cause in ordered[MOST_CAUSES:]):
        shown += f", others {rest:,}"
    also = "".join(f", {other.source.source} ({_percent(other.share)} %)" for other in others)
    # What is allowed must not be below what was lost.
    enough = min(1.0, math.ceil(100 * worst.share) / 100)
    clauses = [*remedies, f"set max_loss.sources.{name}: {enough:g} to go on without them"]
    return InputError(
        f"{stage}: source {name} lost {worst.rows:,} of {worst.source.rows_in:,} {unit} "
        f"({_percent(worst.share)} %, max_loss is {_percent(worst.allowed)} %)"
        + (f": {shown}" if shown else "")
        + (f"; too much also of {also.removeprefix(', ')}" if also else "")
        + f". List: {where}. Remedy: "
        + "; or ".join(clauses)
    )


def ask_again(causes: Sequence[Cause]) -> Iterator[str]:
    """How `retry_failed` brings rows that may come another time, a clause for each thing that has to be done first."""
    large = sum(cause.again for cause in causes if cause.reason == "needs_memory")
    others = sum(cause.again for cause in causes) - large
    command = f"`{snakemake('retry_failed')}` asks for"
    if others:
        missing = any(cause.reason == "missing_file" for cause in causes)
        yield f"{'put the files where the list has them, then ' if missing else ''}{command} {others:,} of them again"
    # Without more memory they are only deferred again.
    if large:
        yield f"raise limits.download.image_memory_mb to what the list names, then {command} {large:,} of them again"


def refuse_nothing(
    account: Account,
    causes: Sequence[Cause],
    *,
    where: Path,
    remedies: Iterable[str] = (),
    missing: str = "the corpus has no images",
) -> InputError:
    """The line that stops a run of whose corpus, or `missing`, nothing would be left."""
    shown = ", ".join(map(str, sorted(causes, key=lambda cause: -cause.rows)[:MOST_CAUSES]))
    return InputError(
        f"{account.stage}: {missing}: none of the {account.rows_in:,} {account.unit} of {account.part} "
        f"is left"
        + (f": {shown}" if shown else "")
        + f". List: {where}"
        + (f". Remedy: {'; or '.join(clauses)}" if (clauses := [*remedies]) else "")
    )


def write_losses(path: Path, stage: str, losses: Sequence[Loss], where: Path) -> None:
    """Write down what was judged, and where the list of what is lost is."""
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
    """The line that stops a run whose finished checks allowed more than the config does by now; "" where none did.

    A check does not run again for another `max_loss`: it is an ancient input of what follows it, and behind a job that
    runs again Snakemake overlooks other changes.

    Args:
        dag: Snakemake's plan.
        max_loss: how much each source may lose.
    """
    planned = set(dag.needrun_jobs(exclude_finished=False))
    for job in sorted(dag.jobs, key=str):
        path = Path(str(job.output[0])) if job.rule.name.endswith("_loss") else None
        # What was checked once may be gone by now, where nothing that follows has to run.
        if path is None or job in planned or not path.exists():
            continue
        for one in json.loads(path.read_text(encoding="utf-8")):
            source = SourceRows(one["source"], one["is_local"], one["rows_in"], one["rows_in"] - one["lost"], {})
            loss = Loss(source, one["lost"], max_loss.of(source.source, is_local=source.is_local))
            if loss.is_too_much:
                return str(refuse(one["stage"], "rows", [loss], [], where=Path(one["list"])))
    return ""


def may_come() -> str:
    """The SQL macro `may_come(status, error, http_status)`: whether `retry_failed` asks for an image again."""
    return Path(__file__).with_name("may_come.sql").read_text(encoding="utf-8")


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"
