"""Stop a run if its downloads lost too many images of a source.

In: the generation's account, sums by host and list of lost images. Out: the losses by source (JSON).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import SourceRows, read_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.loss import LossSettings
from workflow_scripts.common.losses import Cause, Explanation, check_losses, is_empty, refuse_nothing, retry_remedies
from workflow_scripts.contracts import DOWNLOAD_HOSTS

SETTINGS = {
    "disallowed_address": "list private addresses in download.allow_hosts to allow them",
    "certificate": "set download.hosts: {HOST: {check_certificates: false}} to skip HOST's certificate check",
    "disallowed_by_robots": "set download.respect_robots: false to ignore robots directives",
    "too_small": "lower download.min_size to accept smaller images, and run with --config redo=download",
    "too_large": "raise download.max_pixels and download.max_bytes to accept larger images",
}
"""By cause: the setting that accepts such images. The refused ones are then requested again."""


def check_loss(
    *,
    account: Path,
    hosts: Path,
    lost: Path,
    max_loss: LossSettings,
    out: Path,
    older: tuple[Path, ...] = (),
) -> None:
    """Check that no source of a generation exceeds its maximum loss of images, and that the corpus has images.

    Args:
        account: the generation's account.
        hosts: sums by source, host, status and reason (contract DOWNLOAD_HOSTS).
        lost: the list of images that were not downloaded.
        max_loss: the maximum loss of each source.
        out: output: the losses (JSON).
        older: the accounts of older generations.

    Raises:
        InputError: a source lost too much, or the corpus would have no images.
    """
    counted = read_account(account)
    failed = [row for row in tables.read_rows(hosts, DOWNLOAD_HOSTS).to_pylist() if row["status"] != "ok"]
    if is_empty(counted, older):
        raise refuse_nothing(counted, _explain(failed, lost))

    def explain(worst: SourceRows) -> Explanation:
        source = worst.source, worst.is_local
        return _explain([row for row in failed if (row["catalog_source"], row["host"] == "") == source], lost)

    check_losses("download", "images", counted.sources, max_loss, explain, where=lost, out=out)


def _explain(rows: Sequence[dict[str, Any]], lost: Path) -> Explanation:
    causes = _causes(rows)
    return Explanation(causes, lost, [*_remedies(causes, rows)])


def _causes(rows: Any) -> list[Cause]:
    """Sums over status and source, by cause and host."""
    found: dict[tuple[str, str], Cause] = {}
    for row in rows:
        key = row["reason"], row["host"]
        before = found.get(key, Cause(row["reason"], 0, row["host"]))
        found[key] = Cause(*key[:1], before.rows + row["images"], row["host"], before.retriable + row["again"])
    return list(found.values())


def _remedies(causes: Sequence[Cause], rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    # A host that was given up needs lower limits first; its rows say how.
    details = {row["detail"] or "" for row in rows}
    yield from sorted(detail.partition(": ")[2] for detail in details if "limits.download.hosts" in detail)[:3]
    yield from retry_remedies(causes)
    reasons = {cause.reason for cause in causes}
    yield from (text for reason, text in SETTINGS.items() if reason in reasons)
    # Only refused types can be accepted by a setting; unreadable images have the status `failed`.
    by_type = [row for row in rows if row["reason"] == "not_an_image" and row["status"] == "refused"]
    if by_type:
        worst = max(by_type, key=lambda row: row["images"])
        host, kind = worst["host"], (worst["detail"] or "").rpartition(" ")[2]
        accepted = f'{{{host}: {{content_types: ["image/*", "{kind}"]}}}}'
        yield f"set download.hosts: {accepted} to accept images that {host} serves as {kind}"


if __name__ == "__main__":
    run(check_loss)
