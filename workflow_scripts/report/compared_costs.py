"""Costs of several runs side by side, with the work that they share counted once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from workflow_scripts.report.corpora import Run
from workflow_scripts.report.costs import Owner


@dataclass(frozen=True)
class Work:
    """One piece of work: a step of a run, a step of a corpus, or the jobs of a folder of shared inputs.

    Attributes:
        owner: what it belongs to.
        name: the run, the corpus or the folder.
        runs: the runs that use it, in the order of the comparison.
        seconds: wall time, summed over jobs; the newest report's if the reports of `runs` differ.
    """

    owner: Owner
    name: str
    runs: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class StepCosts:
    """A step's cost in each run.

    Attributes:
        step: name of the step.
        owner: what the work belongs to.
        works: the work that the step consists of.
        of_runs: each run's cost of the step, an entry of `costs` in its `run.json`; None if it has no such step.
    """

    step: str
    owner: Owner
    works: tuple[Work, ...]
    of_runs: tuple[Mapping[str, Any] | None, ...]

    @property
    def longest(self) -> float:
        """The longest time in any run, seconds."""
        return max(cost["seconds"] for cost in self.of_runs if cost is not None)

    @property
    def seconds(self) -> float:
        """Time of all runs together, seconds; shared work counts once."""
        return sum(work.seconds for work in self.works)

    @property
    def users(self) -> str:
        """What the work belongs to, and the runs that share it."""
        if self.owner == "run":
            return "each run"
        parts: dict[tuple[str, ...], list[str]] = {}
        for work in self.works:
            parts.setdefault(work.runs, []).append(work.name)
        return "; ".join(_users(self.owner, names, runs) for runs, names in parts.items())


def step_costs(found: Sequence[Run]) -> list[StepCosts]:
    """Costs by step and owner, the longest first."""
    by_step: dict[tuple[Owner, str], dict[str, Mapping[str, Any]]] = {}
    for run in found:
        for cost in run.facts["costs"]:
            by_step.setdefault((cost.get("owner", "run"), cost["step"]), {})[run.name] = cost
    corpora = {run.name: str(run.facts["corpus"]["name"]) for run in found}
    steps = [
        StepCosts(step, owner, tuple(_works(owner, costs, corpora)), tuple(costs.get(run.name) for run in found))
        for (owner, step), costs in by_step.items()
    ]
    return sorted(steps, key=lambda one: (-one.longest, one.step, one.owner))


@dataclass(frozen=True)
class Total:
    """Cost of all work of one kind that the same runs use.

    Attributes:
        what: the work, in words.
        seconds: wall time, summed over jobs.
    """

    what: str
    seconds: float


def totals_by_users(steps: Sequence[StepCosts]) -> list[Total]:
    """Total time of each run's own work, of each corpus, and of the shared inputs by the runs that use them."""
    found: dict[tuple[Owner, str, tuple[str, ...]], list[Work]] = {}
    for work in (work for step in steps for work in step.works):
        found.setdefault((work.owner, "" if work.owner == "shared" else work.name, work.runs), []).append(work)
    order = get_args(Owner)
    return [
        Total(
            f"run {name}, its own work"
            if owner == "run"
            else _users(owner, [*dict.fromkeys(w.name for w in works)], runs),
            sum(work.seconds for work in works),
        )
        for (owner, name, runs), works in sorted(found.items(), key=lambda item: order.index(item[0][0]))
    ]


def _works(owner: Owner, costs: Mapping[str, Mapping[str, Any]], corpora: Mapping[str, str]) -> Iterator[Work]:
    """The work of a step: what runs do themselves, and what they share by corpus or by folder."""
    users: dict[str, list[str]] = {}
    for run, cost in costs.items():
        names = {"run": [run], "corpus": [corpora[run]], "shared": [*cost.get("folders", {})] or [cost["step"]]}[owner]
        for name in names:
            users.setdefault(name, []).append(run)
    for name, runs in users.items():
        newest = costs[max(runs, key=lambda run: costs[run].get("ended") or 0.0)]
        yield Work(owner, name, tuple(runs), newest.get("folders", {}).get(name, newest["seconds"]))


def _users(owner: Owner, names: Sequence[str], runs: Sequence[str]) -> str:
    """Work that several runs may share, and the runs that use it."""
    if owner == "corpus":
        what = f"corpus {', '.join(names)}"
    else:
        what = names[0] if len(names) == 1 else f"{len(names)} backbones, benchmarks and models"
    return f"{what}, {'shared by' if len(runs) > 1 else 'only'} {', '.join(runs)}"
