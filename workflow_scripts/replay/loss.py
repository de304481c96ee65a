"""Stop a run if too many replay pairs were lost, before shards are written."""

from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, by_source
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.loss import REPLAY, LossSettings
from workflow_scripts.common.losses import Cause, ask_again, losses_of, may_come, refuse, refuse_nothing, write_losses
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
    losses = losses_of("download", by_source((REPLAY, False, reason, rows) for reason, _, rows, _ in counts), max_loss)
    where = manifests[0].parents[1]
    causes = [Cause(reason, rows, host, again) for reason, host, rows, again in counts if reason is not None]
    remedies = [*ask_again(causes)]
    for loss in losses:
        source = loss.source
        if not source.kept:
            account = Account(REPLAY, "the replay set", "pairs", source.rows_in, 0, source.dropped)
            remedies.append("remove `replay` and `train.replay_batch`")
            raise refuse_nothing(account, causes, where=where, remedies=remedies, missing="there are no replay pairs")
        if loss.is_too_much:
            raise refuse(REPLAY, "pairs", [loss], causes, where=where, remedies=remedies)
    write_losses(out, REPLAY, losses, where)


if __name__ == "__main__":
    run(check_loss)
