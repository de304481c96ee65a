"""Stop a run if too many images have unresolved names or are placeholders, before shards are written."""

from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import SourceRows, read_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.loss import LossSettings
from workflow_scripts.common.losses import Cause, Explanation, check_losses, lost_of
from workflow_scripts.contracts import LABELS, RANKS

# Unresolved labels listed in the error.
MOST_LABELS = 3
SETTINGS = {
    "unresolved": "taxonomy.overrides gives them a taxon",
    "placeholder": "curate.placeholder_taxa sets the number of taxa from which one picture is a placeholder",
}
"""The setting that lets such images in, by cause."""


def check_loss(*, account: Path, labels: Path, max_loss: LossSettings, out: Path) -> None:
    """Check that no source of a generation lost too many images to unresolved names and placeholders.

    Args:
        account: the account of the generation's verdicts.
        labels: the taxon of each label (contract LABELS).
        max_loss: how much each source may lose.
        out: the losses to write (JSON).

    Raises:
        InputError: a source lost too much.
    """

    def explain(worst: SourceRows) -> Explanation:
        lost = lost_of("curate", worst.dropped)
        causes = [
            Cause(reason, rows, ", ".join(_unresolved(labels)) if reason == "unresolved" else "")
            for reason, rows in lost.items()
        ]
        return Explanation(causes, labels, [text for reason, text in SETTINGS.items() if reason in lost])

    check_losses("curate", "images", read_account(account).sources, max_loss, explain, where=labels, out=out)


def _unresolved(labels: Path) -> Iterator[str]:
    """The unresolved labels with the most images, as written by their source."""
    names = ", ".join(f"provider_{rank}" for rank in RANKS)
    with tables.connect() as connection:
        tables.read(connection, labels, LABELS, "labels")
        found = connection.execute(
            f"SELECT coalesce(provider_scientific_name, nullif(concat_ws(' ', {names}), ''), provider_common, 'none') "
            "FROM labels WHERE match_type = 'none' ORDER BY images DESC, label_id LIMIT $most",
            {"most": MOST_LABELS},
        ).fetchall()
    yield from (repr(name) for (name,) in found)


if __name__ == "__main__":
    run(check_loss)
