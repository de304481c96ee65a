"""Row counts by step: rows in, rows kept, and rows left out by reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from workflow_scripts.common.accounts import Account
from workflow_scripts.common.losses import not_lost_before

CORPUS = ("sources", "catalog", "download", "curate", "shards")
"""Steps between a source's metadata and a training shard, in order."""
TRAINING, VALIDATION = "training", "validation"
ENDS = (TRAINING, VALIDATION)
"""Final destinations of images that no step leaves out."""


@dataclass(frozen=True)
class Step:
    """The sum of one step's accounts.

    Attributes:
        name: the step's name.
        unit: what a row is, in the plural.
        rows_in: rows that entered the step.
        kept: rows that the step passed on.
        dropped: the other rows by reason, the most frequent first.
        notes: further counts, not part of the sum.
        parts: the accounts that were summed.
    """

    name: str
    unit: str
    rows_in: int
    kept: int
    dropped: dict[str, int]
    notes: dict[str, int]
    parts: tuple[Account, ...]


@dataclass(frozen=True)
class Link:
    """Rows that flow from one node to another; nodes are identified by their labels."""

    source: str
    target: str
    rows: int


def steps_of(accounts: Sequence[Account]) -> list[Step]:
    """Sum the accounts by step: corpus steps in pipeline order, then the others in the order given."""
    groups: dict[str, list[Account]] = {}
    for account in accounts:
        groups.setdefault(_step_name(account), []).append(account)
    names = [name for name in CORPUS if name in groups] + [name for name in groups if name not in CORPUS]
    return [_sum(name, groups[name]) for name in names]


def corpus_flow(steps: Sequence[Step]) -> list[Link]:
    """The links from the sources' records to the shards, with a node for each reason."""
    chain = [step for step in steps if step.name in CORPUS]
    links = []
    lost_before: Mapping[str, int] = {}
    for step, following in zip_longest(chain, chain[1:]):
        dropped = not_lost_before(lost_before, step.dropped)
        kept = step.rows_in - sum(lost_before.values()) - sum(dropped.values())
        # The next step may receive every row, including those that this one lost.
        lost_before = step.dropped if following is not None and following.rows_in == step.rows_in else {}
        if following is not None:
            links.append(Link(step.name, following.name, kept))
        else:
            validation = step.notes.get("val samples", 0)
            links += [Link(step.name, TRAINING, kept - validation), Link(step.name, VALIDATION, validation)]
        links += [Link(step.name, f"{step.name}: {reason}", rows) for reason, rows in dropped.items()]
    return [link for link in links if link.rows > 0]


def gaps(steps: Sequence[Step]) -> list[str]:
    """Steps whose row counts disagree: the next step received neither the kept rows nor all rows."""
    chain = [step for step in steps if step.name in CORPUS]
    return [
        f"{step.name} kept {step.kept} of {step.rows_in} {step.unit}, but {following.rows_in} entered {following.name}"
        for step, following in pairwise(chain)
        if following.rows_in not in (step.kept, step.rows_in)
    ]


def _step_name(account: Account) -> str:
    """The account's step; the stages catalog and replay have two steps each."""
    if account.stage == "catalog":
        return "catalog" if account.part.startswith("generation ") else "sources"
    if account.stage == "replay":
        return f"replay {account.part}"
    return account.stage


def _sum(name: str, accounts: Sequence[Account]) -> Step:
    dropped: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for account in accounts:
        dropped.update(account.dropped)
        notes.update(account.notes)
    return Step(
        name=name,
        unit=accounts[0].unit,
        rows_in=sum(account.rows_in for account in accounts),
        kept=sum(account.kept for account in accounts),
        dropped={
            reason: rows for reason, rows in sorted(dropped.items(), key=lambda item: (-item[1], item[0])) if rows
        },
        notes=dict(notes),
        parts=tuple(accounts),
    )
