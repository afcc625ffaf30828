"""What token sequences have in common, so that it is run once: pure Python, no tensors.

Rows that begin alike are worked out on two levels. A group's common prefix (demonstrations) is run once and
its keys and values are kept. What is left becomes trees: every distinct token prefix is one node.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from xalign.data.packing import best_fit

SHORTEST_PREFIX = 16
"""Common prefixes of fewer tokens are not worth keys and values of their own."""

LEAST_SAVED = 256
"""Tokens that a group must save: it costs a forward pass of its own, and smaller batches."""

LEAST_SHARED = 1 / 4
"""Part of a row that its tree must have already, for the row to be joined to it."""

PACKED = 128
"""Positions up to which small trees stand side by side: rows of a batch are then of nearly equal length."""


@dataclass(frozen=True)
class Row:
    """Token ids of which those from `start` (at least 1) are predicted; the last is never an input."""

    ids: Sequence[int]
    start: int


@dataclass
class Tree:
    """Rows without their common first `cut` tokens, each distinct token prefix one node, in preorder.

    Rows that have no more in common stand side by side: it may have several roots.
    `depths` are positions in the row, so they begin at `cut`. Node i is an ancestor of node j, or j
    itself, if i <= j < ends[i]. `targets` are the distinct (node, next token) to predict; a row's
    numbers in `targets` are in `members`, under the row's own number.
    """

    cut: int
    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    targets: dict[tuple[int, int], int] = field(default_factory=dict)
    members: dict[int, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Trees below one common prefix, which may be empty."""

    prefix: Sequence[int]
    trees: list[Tree]


def plan(rows: Sequence[Row], *, largest: int, reach: int | None = None, share: bool = True) -> list[Group]:
    """Share what rows have in common; every row is in one tree of one group.

    A tree of several rows has at most `largest` positions, and at most `reach` with those of its group's
    prefix; 0 joins no rows. `share=False` keeps no prefix.
    """
    reach = sys.maxsize if reach is None else reach
    order = sorted(range(len(rows)), key=lambda i: list(rows[i].ids[:-1]))
    # common[k]: tokens that inputs number k - 1 and k of this order have in common.
    common = [0, *(common_length(rows[i].ids[:-1], rows[j].ids[:-1]) for i, j in pairwise(order))]
    groups: list[Group] = []
    rest: list[int] = []
    place = 0
    for left, right, cut in [
        *(_cuts(rows, order, common, min(largest, reach)) if share else []),
        (len(rows), 0, 0),
    ]:
        rest += range(place, left)
        if cut:
            groups.append(_group(rows, order, common, range(left, right), cut, min(largest, reach - cut)))
        place = right
    return [*groups, *([_group(rows, order, common, rest, 0, min(largest, reach))] if rest else [])]


def grow(rows: Sequence[Row], numbers: Iterable[int], cut: int) -> Tree:
    """The tree of the rows with these numbers, which have their first `cut` tokens in common."""
    tree = Tree(cut)
    path: list[int] = []
    for number in sorted(numbers, key=lambda i: list(rows[i].ids[:-1])):
        row, inputs = rows[number], rows[number].ids[cut:-1]
        kept = common_length([tree.tokens[node] for node in path], inputs)
        for node in path[kept:]:
            tree.ends[node] = len(tree.tokens)
        path = [*path[:kept], *range(len(tree.tokens), len(tree.tokens) + len(inputs) - kept)]
        tree.tokens += inputs[kept:]
        tree.depths += range(cut + kept, cut + len(inputs))
        tree.ends += [0] * (len(inputs) - kept)
        tree.members[number] = [
            tree.targets.setdefault((path[t - 1 - cut], row.ids[t]), len(tree.targets))
            for t in range(row.start, len(row.ids))
        ]
    for node in path:
        tree.ends[node] = len(tree.tokens)
    return tree


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens that two sequences begin with alike."""
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return length
    return next(k for k in range(length) if first[k] != second[k])


def _group(
    rows: Sequence[Row],
    order: Sequence[int],
    common: Sequence[int],
    places: Iterable[int],
    cut: int,
    room: int,
) -> Group:
    joined: list[list[int]] = []
    sizes: list[int] = []
    last = -2
    for place in places:
        length = len(rows[order[place]].ids) - 1 - cut
        shared = common[place] - cut if place == last + 1 else 0
        new = length - shared
        if shared > 0 and shared >= LEAST_SHARED * length and sizes[-1] + new <= room:
            joined[-1].append(order[place])
            sizes[-1] += new
        else:
            joined.append([order[place]])
            sizes.append(length)
        last = place
    prefix = rows[joined[0][0]].ids[:cut]
    packed = best_fit(sizes, min(max(PACKED, *sizes), room))  # side by side: less padding
    return Group(prefix, [grow(rows, [i for k in own for i in joined[k]], cut) for own in packed])


@dataclass
class _Interval:
    """Neighbours in sorted order, from `left`, that have `depth` tokens in common."""

    depth: int
    left: int
    gain: int
    cuts: list[tuple[int, int, int]]


def _cuts(
    rows: Sequence[Row], order: Sequence[int], common: Sequence[int], largest: int
) -> list[tuple[int, int, int]]:
    """Disjoint (left, right, tokens in common) in sorted order that save the most tokens together.

    Walks the intervals of equal common length from the inside out (Abouelhoda, Kurtz and Ohlebusch 2004,
    algorithm 4.4): each is taken as a whole or leaves it to those inside, whichever saves more.
    """
    sizes = [0]
    for place, number in enumerate(order):
        sizes.append(sizes[-1] + len(rows[number].ids) - 1 - common[place])
    open_: list[_Interval] = []
    for right in range(1, len(order) + 1):
        depth = common[right] if right < len(order) else -1
        found = _Interval(depth, right - 1, 0, [])
        while open_ and open_[-1].depth > depth:
            inner = open_.pop()
            inner.gain += found.gain
            inner.cuts += found.cuts
            own = _cut(rows, order[inner.left : right], inner.depth)
            gain = own * (right - inner.left - 1) - LEAST_SAVED
            # What fits into a single tree is run once anyway.
            nodes = sizes[right] - sizes[inner.left] + common[inner.left]
            if gain > inner.gain and nodes > largest:
                inner.gain, inner.cuts = gain, [(inner.left, right, own)]
            found = _Interval(depth, inner.left, inner.gain, inner.cuts)
        if open_ and open_[-1].depth == depth:
            open_[-1].gain += found.gain
            open_[-1].cuts += found.cuts
        else:
            open_.append(found)
    return open_[0].cuts if open_ else []


def _cut(rows: Sequence[Row], numbers: Sequence[int], depth: int) -> int:
    """Tokens of a common prefix that can be kept: the position before each prediction is always run."""
    if depth < SHORTEST_PREFIX:
        return 0
    cut = min(depth, min(rows[i].start for i in numbers) - 1)
    return cut if cut >= SHORTEST_PREFIX else 0
