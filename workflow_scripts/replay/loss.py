"""Stop a run if too many replay pairs were lost, before shards are written."""

from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, by_source
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.loss import REPLAY, LossSettings
from workflow_scripts.common.losses import Cause, Explanation, check_losses, may_come, refuse_nothing, retry_remedies
from workflow_scripts.contracts import DOWNLOADS


def check_loss(*, manifests: tuple[Path, ...], max_loss: LossSettings, out: Path) -> None:
    """Check that the share of replay pairs lost is within the limit.

    Args:
        manifests: the manifests of the pairs' downloads.
        max_loss: the largest share that may be lost.
        out: the losses to write (JSON).

    Raises:
        InputError: too many pairs were lost, or all of them.
    """
    with tables.connect() as connection:
        tables.read(connection, manifests, DOWNLOADS, "manifests")
        connection.execute(may_come())
        counts = connection.execute(
            "SELECT CASE WHEN status <> 'ok' THEN split_part(error, ':', 1) END AS reason, coalesce(host, '') AS host, "
            "count(*), count(*) FILTER (may_come(status, error, http_status)) FROM manifests GROUP BY ALL"
        ).fetchall()
    sources = by_source((REPLAY, False, reason, rows) for reason, _, rows, _ in counts)
    where = manifests[0].parents[1]
    causes = [Cause(reason, rows, host, retriable) for reason, host, rows, retriable in counts if reason is not None]
    remedies = [*retry_remedies(causes)]
    for source in sources:
        if not source.kept:
            account = Account(REPLAY, "the replay set", "pairs", source.rows_in, 0, source.dropped)
            why = Explanation(causes, where, [*remedies, "remove `replay` and `train.replay_batch`"])
            raise refuse_nothing(account, why, missing="there are no replay pairs")
    why = Explanation(causes, where, remedies)
    check_losses(REPLAY, "pairs", sources, max_loss, lambda _: why, where=where, out=out)


if __name__ == "__main__":
    run(check_loss)
