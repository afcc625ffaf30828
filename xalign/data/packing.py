"""Texts of different lengths side by side in rows of one width, so that next to nothing is padding."""

from bisect import bisect_left, insort
from collections.abc import Sequence


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
