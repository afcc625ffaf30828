"""Rows of texts: none lost, none overfull, and no row wider than it is worth."""

import pytest

from xalign.data.packing import ATTENTION, FEW, best_fit, best_packing


@pytest.mark.parametrize("sizes", [[64], [1, 2, 3], [60, 61, 62, 63, 64], [90, 40, 55, 55, 7, 7, 7] * 9])
def test_every_text_is_in_one_row_and_fits(sizes: list[int]) -> None:
    width, rows = best_packing(sizes, max(64, *sizes), 10_000)
    assert sorted(number for row in rows for number in row) == list(range(len(sizes)))
    assert all(sum(sizes[number] for number in row) <= width for row in rows)


def test_two_to_a_row_where_one_would_waste_a_fifth_of_it() -> None:
    """Four texts of 60 tokens: 4 x 75 x (1500 + 75) = 472,500; 2 x 123 x (1500 + 123) = 399,258."""
    assert ATTENTION == 1500
    width, rows = best_packing([60, 60, 60, 60], 75, 10_000)
    assert [len(row) for row in rows] == [2, 2]
    assert 120 <= width < 125  # widths are tried four apart


def test_rows_that_are_full_stay_narrow() -> None:
    assert best_packing([75] * 8, 75, 10_000)[0] == 75


def test_rows_are_not_wider_than_a_micro_batch_unless_a_text_is() -> None:
    assert best_packing([60, 60, 60, 60], 75, 100)[0] < 100
    assert best_packing([60, 60, 60, 60], 75, 8) == (75, best_fit([60, 60, 60, 60], 75))


def test_of_many_texts_only_the_narrowest_width_is_tried() -> None:
    assert best_packing([60] * (FEW + 1), 75, 10_000)[0] == 75
