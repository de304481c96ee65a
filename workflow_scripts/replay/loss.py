"""Stop a run whose replay pairs did not come, before shards are made of the rest."""

from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import by_source
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.loss import REPLAY, LossSettings
from workflow_scripts.common.losses import Cause, losses_of, may_come, refuse, write_losses
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.contracts import DOWNLOADS


def check_loss(*, manifests: tuple[Path, ...], max_loss: LossSettings, out: Path) -> None:
    """Check that no more replay pairs were lost than may be.

    Args:
        manifests: the manifests of their downloads.
        max_loss: how much may be lost.
        out: where what was found is written (JSON).

    Raises:
        InputError: too many were lost, or all of them.
    """
    with tables.connect() as connection:
        tables.read(connection, manifests, DOWNLOADS, "manifests")
        connection.execute(may_come())
        counts = connection.execute(
            "SELECT CASE WHEN status <> 'ok' THEN split_part(error, ':', 1) END AS reason, coalesce(host, '') AS host, "
            "count(*), count(*) FILTER (may_come(status, error, http_status)) FROM manifests GROUP BY ALL"
        ).fetchall()
    losses = losses_of("download", by_source((REPLAY, False, reason, rows) for reason, _, rows, _ in counts), max_loss)
    if beyond := [loss for loss in losses if loss.is_too_much or not loss.source.kept]:
        causes = [Cause(reason, rows, host, again) for reason, host, rows, again in counts if reason is not None]
        again = sum(cause.again for cause in causes)
        remedies = [f"`{snakemake('retry_failed')}` asks for {again:,} of them again"] if again else []
        raise refuse(REPLAY, "pairs", beyond, causes, where=manifests[0].parents[1], remedies=remedies)
    write_losses(out, REPLAY, losses, manifests[0].parents[1])


if __name__ == "__main__":
    run(check_loss)
