"""Where time goes."""

import time

import pytest

from xalign.base.phases import Phases


def test_seconds_add_up_by_name_until_they_are_taken() -> None:
    phases = Phases()
    for _ in range(2):
        with phases("forward"):
            time.sleep(0.02)
    phases.add("data", 1.5)
    phases.add("data", 0.5)
    taken = phases.take()
    assert list(taken) == ["forward", "data"]
    assert 0.04 <= taken["forward"] < 0.2
    assert taken["data"] == 2.0
    assert phases.take() == {}


def test_a_phase_that_fails_is_counted() -> None:
    phases = Phases()
    with pytest.raises(ValueError, match="broken"), phases("forward"):
        raise ValueError("broken")
    assert set(phases.take()) == {"forward"}


def test_the_timer_costs_next_to_nothing() -> None:
    """A step has some ten phases and takes milliseconds at the least."""
    phases = Phases()
    started = time.perf_counter()
    for _ in range(1000):
        with phases("forward"):
            pass
    assert (time.perf_counter() - started) / 1000 < 5e-5
