"""Few-shot demonstrations: solved items of another split, the same ones before every item of a language."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from xalign.base.errors import DataError
from xalign.config.choices import Demonstrations
from xalign.evaluation.items import Item
from xalign.evaluation.prompts import Shown

SEPARATOR = "\n\n"
"""Stands after each demonstration, as in lm-evaluation-harness 0.4.13."""


@dataclass(frozen=True)
class Pool:
    """The split that demonstrations come from.

    `item(language, row)` makes a row's item (None: the row cannot be asked); `switched(language, other,
    row, turn)` makes one whose fields alternate between two languages, `turn` saying which comes first.
    """

    name: str
    """What messages call it."""
    languages: Sequence[str]
    size: Callable[[str], int]
    item: Callable[[str, int], Item | None]
    switched: Callable[[str, str, int, int], Item]


@dataclass(frozen=True)
class Wanted:
    """How many demonstrations, in which languages, drawn how."""

    shots: int
    mode: Demonstrations
    balanced: bool
    seed: int


@dataclass(frozen=True)
class Demonstration:
    """A solved item, and the row of the pool that it is."""

    shown: Shown
    language: str
    row: int


def choose(
    pool: Pool, wanted: Wanted, language: str, pivot: str, asked: Collection[str]
) -> list[Demonstration]:
    """Demonstrations before the items of a language.

    - same_language: from the pool in that language.
    - pivot: all in the pivot language.
    - mixed: the language of each is drawn from those of the pool.
    - code_switched: in that language, with fragments replaced by their translation into the pivot: the
      fields of an item alternate between the two (XNLI's premise in one, its hypothesis in the other), and
      the demonstrations alternate in which language comes first. Needs sets that are parallel row by row.
    - first: the first of the pool in that language, as lm-evaluation-harness's `first_n` takes them.

    The seed alone decides which rows are drawn, so that the languages of a parallel set see translations of
    the same demonstrations. A demonstration whose text is among `asked` is passed over. `balanced` takes
    each answer as often as any other, give or take one.

    Raises:
        DataError: the pool has too few rows, or lacks a language.
    """
    if not wanted.shots:
        return []
    languages = _languages(pool, wanted, language, pivot)
    golds = _golds(pool, wanted, languages[0])
    orders = {own: _order(pool, wanted, own) for own in dict.fromkeys(languages)}
    passed: dict[str, list[Item]] = {own: [] for own in orders}
    found: list[Demonstration] = []
    used: set[int] = set()
    for turn, own in enumerate(languages):
        gold = golds[turn] if golds else None
        item = _next(pool, own, orders[own], passed[own], gold, used, asked)
        if item is None:
            of = f" with answer {gold}" if gold is not None else ""
            raise DataError(
                f"benchmark.shots={wanted.shots}: {pool.name} has too few items{of} in '{own}' "
                f"({len(found)} demonstrations found)"
            )
        used.add(item.index)
        if wanted.mode is Demonstrations.code_switched and own != pivot:
            item = pool.switched(own, pivot, item.index, turn)
        found.append(Demonstration(item.shown(SEPARATOR), own, item.index))
    return found


def _rng(wanted: Wanted, purpose: bytes) -> np.random.Generator:
    return np.random.default_rng([wanted.seed, crc32(purpose)])


def _languages(pool: Pool, wanted: Wanted, language: str, pivot: str) -> list[str]:
    """The language of each demonstration."""
    if wanted.mode is Demonstrations.mixed:
        drawn = _rng(wanted, b"languages").integers(len(pool.languages), size=wanted.shots)
        return [pool.languages[k] for k in drawn]
    own = pivot if wanted.mode is Demonstrations.pivot else language
    needed = {own, pivot} if wanted.mode is Demonstrations.code_switched else {own}
    for code in sorted(needed - set(pool.languages)):
        raise DataError(
            f"benchmark.demonstrations={wanted.mode}: {pool.name} has nothing in '{code}'; "
            f"it has {', '.join(pool.languages)}"
        )
    return [own] * wanted.shots


def _order(pool: Pool, wanted: Wanted, language: str) -> Iterator[int]:
    size = pool.size(language)
    if wanted.mode is Demonstrations.first:
        return iter(range(size))
    return iter(_rng(wanted, b"order").permutation(size).tolist())


def _golds(pool: Pool, wanted: Wanted, language: str) -> list[int]:
    """The answer that each demonstration must have; none where they need not be balanced."""
    if not wanted.balanced:
        return []
    first = next((i for k in range(pool.size(language)) if (i := pool.item(language, k))), None)
    count = len(first.contexts) if first else 1
    golds = [turn % count for turn in range(wanted.shots)]
    return (
        golds if wanted.mode is Demonstrations.first else _rng(wanted, b"answers").permutation(golds).tolist()
    )


def _next(
    pool: Pool,
    language: str,
    order: Iterator[int],
    passed: list[Item],
    gold: int | None,
    used: Collection[int],
    asked: Collection[str],
) -> Item | None:
    """The next item with the wanted answer; those passed over on the way are kept for later turns."""
    for item in passed:
        if item.gold == gold and item.index not in used:
            return item
    for row in order:
        found = pool.item(language, row)
        if found is None or found.index in used or found.solved in asked:
            continue
        if gold is None or found.gold == gold:
            return found
        passed.append(found)
    return None
