"""Training images by rank as a treemap of bounded size."""

from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.contracts import COMPOSITION, RANKS

# Taxa shown at each rank, those with the most images; the others are one node under their parent.
SHOWN = 300
COLOURED_BY = "class"


@dataclass(frozen=True)
class Node:
    """A taxon, or several small taxa with the same parent.

    Attributes:
        id: its names from the kingdom down.
        parent: id of the closest named taxon above, "" if none.
        label: its name.
        rank: its rank.
        images: number of training images.
        group: id of its taxonomic class, "" above that rank.
    """

    id: str
    parent: str
    label: str
    rank: str
    images: int
    group: str


def treemap_nodes(composition: Path) -> list[Node]:
    """Taxa in a corpus's training images, kingdoms first; within a rank, those with the most images first.

    Raises:
        InputError: the table is missing or breaks its contract.
    """
    nodes: dict[str, Node] = {}
    with tables.connect() as connection:
        tables.read(connection, composition, COMPOSITION, "taxa")
        for place, rank in enumerate(RANKS):
            above, own = _path(RANKS[:place]), _path(RANKS[: place + 1])
            group = _path(RANKS[: RANKS.index(COLOURED_BY) + 1]) if place >= RANKS.index(COLOURED_BY) else "''"
            rows = connection.execute(
                f"SELECT {own} AS id, {above} AS parent, any_value({tables.quoted(rank)}), sum(images)::BIGINT, "
                f"any_value({group}) FROM taxa WHERE {tables.quoted(rank)} IS NOT NULL "
                "GROUP BY ALL ORDER BY sum(images) DESC, id"
            )
            shown = 0
            others: dict[str, list[int]] = {}
            while row := rows.fetchone():
                identity, parent, label, images, of_group = row
                if parent and parent not in nodes:
                    continue
                if shown < SHOWN:
                    shown += 1
                    nodes[identity] = Node(
                        identity, parent, _written(nodes, parent, rank, label), rank, images, of_group
                    )
                else:
                    others.setdefault(parent, []).append(images)
            for parent, small in others.items():
                identity = f"{parent}/{rank}:…"
                of_group = nodes[parent].group if parent else ""
                nodes[identity] = Node(identity, parent, f"{len(small):,} more", rank, sum(small), of_group)
    return list(nodes.values())


def _path(ranks: tuple[str, ...]) -> str:
    """SQL expression: the names at these ranks, each with its rank; unknown ranks are skipped."""
    names = ", ".join(f"'{rank}:' || {tables.quoted(rank)}" for rank in ranks)
    return f"concat_ws('/', {names})" if names else "''"


def _written(nodes: dict[str, Node], parent: str, rank: str, name: str) -> str:
    """A species' binomial; any other name unchanged."""
    if rank == "species" and parent and nodes[parent].rank == "genus":
        return f"{nodes[parent].label} {name}"
    return name
