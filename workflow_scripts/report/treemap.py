"""Training images by rank as a treemap of bounded size."""

from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.contracts import COMPOSITION, RANKS

# Taxa shown at each rank, those with most images; the others stand together under their parent.
SHOWN = 300
COLOURED_BY = "class"


@dataclass(frozen=True)
class Node:
    """A taxon, or several small ones of one parent.

    Attributes:
        id: its names from the kingdom down.
        parent: the id of the nearest named taxon above, "" for none.
        label: its name.
        rank: its rank.
        images: training images in it.
        group: the class that it belongs to, "" above.
    """

    id: str
    parent: str
    label: str
    rank: str
    images: int
    group: str


def treemap_nodes(composition: Path) -> list[Node]:
    """The taxa that a corpus trains on, kingdoms first; within a rank those with most images first.

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
    """SQL: the names at these ranks, each with its rank; unknown ones are passed over."""
    names = ", ".join(f"'{rank}:' || {tables.quoted(rank)}" for rank in ranks)
    return f"concat_ws('/', {names})" if names else "''"


def _written(nodes: dict[str, Node], parent: str, rank: str, name: str) -> str:
    """A species as its binomial, anything else as it is."""
    if rank == "species" and parent and nodes[parent].rank == "genus":
        return f"{nodes[parent].label} {name}"
    return name
