"""Places the nodes of an acyclic graph in columns, so that arrows run from left to right and round the boxes."""

import itertools
from dataclasses import dataclass

Edges = frozenset[tuple[str, str]]
SWEEPS = 8  # back and forth over the columns, after which the order no longer changes here


@dataclass(frozen=True)
class Place:
    """Where something stands: its column, and its row (halves are allowed, so that short columns stand in the middle)."""

    column: int
    row: float


def depths(names: list[str], edges: Edges) -> dict[str, int]:
    """Returns the column of each node: the length of the longest path to it. A node without needs stands beside what needs it."""

    def longest(name: str) -> int:
        return max((longest(a) + 1 for a, b in edges if b == name), default=0)

    column = {name: longest(name) for name in names}
    sources = [name for name in names if column[name] == 0]
    return column | {name: min((column[b] - 1 for a, b in edges if a == name), default=0) for name in sources}


def layered(names: list[str], edges: Edges) -> dict[tuple[str, str], tuple[Place, ...]]:
    """Returns the places of each edge, from box to box over the free places between, and of each node as the edge (node, node)."""
    column = depths(names, edges)
    chains = {(a, b): [(a, b, c) for c in range(column[a] + 1, column[b])] for a, b in sorted(edges)}
    layers: list[list[object]] = [[] for _ in range(max(column.values()) + 1)]
    for name in names:
        layers[column[name]].append(name)
    for chain in chains.values():
        for spot in chain:
            layers[spot[2]].append(spot)
    links = {link for (a, b), chain in chains.items() for link in itertools.pairwise([a, *chain, b])}
    for sweep in range(SWEEPS):
        _reorder(layers, links, forward=sweep % 2 == 0)
    most = max(map(len, layers))
    place = {spot: Place(n, row + (most - len(layer)) / 2) for n, layer in enumerate(layers) for row, spot in enumerate(layer)}
    routes = {edge: tuple(place[spot] for spot in (edge[0], *chain, edge[1])) for edge, chain in chains.items()}
    return routes | {(name, name): (place[name],) for name in names}


def _reorder(layers: list[list[object]], links: set[tuple[object, object]], forward: bool) -> None:
    """Sorts each column by the mean place of its neighbours in the column before it (or after it)."""
    order = range(1, len(layers)) if forward else range(len(layers) - 2, -1, -1)
    for n in order:
        others = layers[n - 1 if forward else n + 1]
        rank = {spot: (row + 0.5) / len(others) for row, spot in enumerate(others)}
        own = {spot: (row + 0.5) / len(layers[n]) for row, spot in enumerate(layers[n])}

        def mean(spot: object, rank: dict[object, float] = rank, own: dict[object, float] = own) -> float:
            near = [rank[a if forward else b] for a, b in links if spot == (b if forward else a) and (a if forward else b) in rank]
            return sum(near) / len(near) if near else own[spot]

        layers[n].sort(key=mean)
