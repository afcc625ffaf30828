"""Texts of different lengths side by side in rows of one width, so that next to nothing is padding."""

from bisect import bisect_left, insort
from collections.abc import Sequence

ATTENTION = 1500
"""Width of a row at which attention costs as much as all else. By operations alone it is six times the hidden
size or more; but attention is bound by memory."""

WIDEST, TRIED, FEW = 3, 32, 512
"""Widths are tried up to so many times the narrowest, some so many of them, for texts no more than so many:
more of them fill rows of any width."""


def best_packing(sizes: Sequence[int], narrowest: int, widest: int) -> tuple[int, list[list[int]]]:
    """The width of rows that costs least, `narrowest` or up to `widest`, and the items' numbers in each.

    Where texts have some 60 tokens and the longest 75, rows for two of them waste less than rows for one.
    """
    last = max(narrowest, min(WIDEST * narrowest, widest)) if len(sizes) <= FEW else narrowest
    step = max(1, (WIDEST - 1) * narrowest // TRIED)
    packings = {width: best_fit(sizes, width) for width in range(narrowest, last + 1, step)}
    width = min(packings, key=lambda w: len(packings[w]) * w * (ATTENTION + w))
    return width, packings[width]


def best_fit(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Numbers of the items that share a row of `room` places: the largest first, each where it fits best.

    An item of more than `room` has a row of its own. Best-fit decreasing needs at most 11/9 of the fewest
    rows possible, and one more (Johnson et al. 1974).
    """
    rows: list[list[int]] = []
    left: list[tuple[int, int]] = []  # sorted (places left, number in rows)
    for number in sorted(range(len(sizes)), key=lambda k: -sizes[k]):
        place = bisect_left(left, (sizes[number], 0))
        if place < len(left):
            free, at = left.pop(place)
            rows[at].append(number)
        else:
            free, at = room, len(rows)
            rows.append([number])
        insort(left, (free - sizes[number], at))
    return rows
