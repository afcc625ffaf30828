import random
from collections.abc import Sequence

import pytest

from xalign.evaluation.engine import prefix_tree
from xalign.evaluation.engine.prefix_tree import Group, Row, Tree, common_length, grow, plan


def row(text: str, start: int) -> Row:
    return Row([ord(c) for c in text], start)


def ancestors(tree: Tree, node: int) -> list[int]:
    """By the definition of `ends`, one pair at a time."""
    return [i for i in range(len(tree.tokens)) if i <= node < tree.ends[i]]


def is_worked_out(rows: Sequence[Row], groups: Sequence[Group]) -> None:
    """Each row is in one tree, and each of its predictions sees just the tokens before it."""
    members = [i for group in groups for tree in group.trees for i in tree.members]
    assert sorted(members) == list(range(len(rows)))
    for group in groups:
        for tree in group.trees:
            assert tree.cut == len(group.prefix)
            targets = list(tree.targets)
            assert list(tree.targets.values()) == list(range(len(targets)))
            for i, own in tree.members.items():
                ids = list(rows[i].ids)
                assert list(group.prefix) == ids[: tree.cut]
                for t, q in enumerate(own, start=rows[i].start):
                    node, token = targets[q]
                    path = ancestors(tree, node)
                    assert token == ids[t]
                    assert [tree.tokens[k] for k in path] == ids[tree.cut : t]
                    assert [tree.depths[k] for k in path] == list(range(tree.cut, t))
            # Each distinct token prefix is one position, and what nobody needs is none.
            needed = {
                tuple(rows[i].ids[:k]) for i in tree.members for k in range(tree.cut + 1, len(rows[i].ids))
            }
            assert len(tree.tokens) == len(needed)


@pytest.mark.parametrize("largest", [0, 8, 20, 1000])
@pytest.mark.parametrize("share", [True, False])
def test_every_prediction_sees_the_tokens_before_it(
    largest: int, share: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_tree, "LEAST_SAVED", 4)
    monkeypatch.setattr(prefix_tree, "SHORTEST_PREFIX", 2)
    draw = random.Random(0)
    kept = joined = 0
    for _ in range(200):
        rows = []
        for _ in range(draw.randint(1, 12)):
            ids = [draw.randint(0, 1) for _ in range(draw.randint(2, 12))]
            rows.append(Row(ids, draw.randint(1, len(ids) - 1)))
        groups = plan(rows, largest=largest, reach=15, share=share)
        is_worked_out(rows, groups)
        trees = [tree for group in groups for tree in group.trees]
        for tree in trees:
            size = len(tree.tokens)
            assert (size <= largest and tree.cut + size <= 15) or len(tree.members) == 1
        kept += sum(bool(group.prefix) for group in groups)
        joined += sum(len(tree.members) > 1 for tree in trees)
    assert (kept > 0) == share
    assert (joined > 0) == (largest > 0)


def test_a_tree_by_hand() -> None:
    rows = [row("abcx", 2), row("abdy", 3), row("abcz", 3)]
    tree = grow(rows, [0, 1, 2], 1)
    assert [chr(t) for t in tree.tokens] == ["b", "c", "d"]
    assert (tree.depths, tree.ends) == ([1, 2, 2], [3, 2, 3])
    targets = [(node, chr(token)) for node, token in tree.targets]
    # In sorted order: rows 0, 2 and 1. Row 0 alone predicts "c" after "b".
    assert targets == [(0, "c"), (1, "x"), (1, "z"), (2, "y")]
    assert tree.members == {0: [0, 1], 2: [2], 1: [3]}


def test_demonstrations_of_each_language_are_kept_apart() -> None:
    first, second = "S" + "a" * 60, "S" + "b" * 80
    texts = [f"{shots}{n}ccc{answer}!" for shots in (first, second) for n in range(9) for answer in "xy"]
    rows = [row(text, len(text) - 2) for text in texts]
    groups = plan(rows, largest=50)
    is_worked_out(rows, groups)
    assert sorted(len(group.prefix) for group in groups) == [61, 81]
    # Four tokens of an item and one of each candidate; the last is never run.
    assert [sum(len(t.tokens) for t in g.trees) for g in groups] == [9 * 6, 9 * 6]
    # What fits into one tree needs no prefix of its own; a small saving is not worth one.
    assert [len(g.prefix) for g in plan(rows, largest=500)] == [0]
    assert [len(g.prefix) for g in plan(rows[:4], largest=0)] == [0]


def test_the_position_before_each_prediction_is_run() -> None:
    rows = [row("a" * 100 + str(n), 60) for n in range(9)]
    groups = plan(rows, largest=70)
    is_worked_out(rows, groups)
    assert [len(group.prefix) for group in groups] == [59]


def test_unrelated_rows_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_tree, "PACKED", 20)
    lengths = [31, 11, 21, 6, 16, 26]
    rows = [row(chr(97 + n) * length, 1) for n, length in enumerate(lengths)]
    (group,) = plan(rows, largest=512)
    is_worked_out(rows, [group])
    # Inputs of 30, 25, 20, 15, 10 and 5: as wide as the longest.
    assert sorted(len(tree.tokens) for tree in group.trees) == [15, 30, 30, 30]
    monkeypatch.setattr(prefix_tree, "PACKED", 128)
    assert [len(tree.tokens) for tree in plan(rows, largest=512)[0].trees] == [105]
    assert sorted(len(t.tokens) for t in plan(rows, largest=40)[0].trees) == [25, 40, 40]


def test_common_length() -> None:
    assert [common_length([1, 2, 3], other) for other in ([1, 2], [1, 3], [2], [], [1, 2, 3, 4])] == [
        *(2, 1, 0, 0, 3)
    ]
    assert plan([], largest=512) == []
