import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from xalign.data.prefetch import Prefetched


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.fixture(autouse=True)
def no_thread_outlives_a_test() -> Iterator[None]:
    assert not workers()
    yield
    assert not workers()


@pytest.mark.parametrize("ahead", [1, 2, 9])
@pytest.mark.parametrize("steps", [range(0), range(1), range(3, 8)])
def test_every_step_once_and_in_order_as_often_as_asked(ahead: int, steps: range) -> None:
    loader = Prefetched(lambda step: step * step, steps, ahead)
    for _ in range(2):
        assert list(loader) == [step * step for step in steps]


def test_the_next_ones_are_made_meanwhile_by_one_other_thread_and_no_more_than_those() -> None:
    made: list[int] = []
    by: set[int] = set()
    reached = {step: threading.Event() for step in range(10)}

    def make(step: int) -> int:
        made.append(step)
        by.add(threading.get_ident())
        reached[step].set()
        return step

    items = iter(Prefetched(make, range(10), ahead=2))
    assert next(items) == 0
    assert reached[2].wait(5)
    assert not reached[3].wait(0.05)
    assert next(items) == 1
    assert reached[3].wait(5)
    assert list(items) == list(range(2, 10))
    assert made == list(range(10))
    assert len(by) == 1
    assert threading.get_ident() not in by


def broken(step: int) -> int:
    if step == 2:
        raise ValueError("no such row")
    return step


def test_what_is_raised_reaches_the_consumer_at_its_step_with_the_place_it_comes_from() -> None:
    items = iter(Prefetched(broken, range(5)))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="no such row") as caught:
        next(items)
    assert "in broken" in "".join(traceback.format_exception(caught.value))
    assert not workers()


@pytest.mark.parametrize("how", ["closed", "iterator closed", "dropped", "iterated again"])
def test_stopping_early_ends_the_thread_and_what_was_not_begun_is_not_made(how: str) -> None:
    made = []
    go_on = threading.Event()

    def make(step: int) -> int:
        made.append(step)
        if step == 1:
            go_on.wait(5)
        return step

    loader = Prefetched(make, range(100), ahead=5)
    items = iter(loader)
    next(items)
    while made != [0, 1]:
        time.sleep(0.001)
    (worker,) = workers()
    threading.Timer(0.05, go_on.set).start()
    if how == "closed":
        loader.close()
    elif how == "iterator closed":
        items.close()  # type: ignore[attr-defined]
    elif how == "dropped":
        del items
    else:
        assert next(iter(loader)) == 0
    assert not worker.is_alive()
    assert set(made) == {0, 1}


def test_an_exception_in_the_loop_ends_the_thread() -> None:
    def stopped_by_hand() -> None:
        for _ in Prefetched(lambda step: step, range(100)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_by_hand()


def test_waiting_is_timed() -> None:
    slow, done = 0.1, threading.Event()

    def make(step: int) -> int:
        if step == 0:
            time.sleep(slow)
        if step == 1:
            done.set()
        return step

    loader = Prefetched(make, range(2))
    items = iter(loader)
    next(items)
    assert slow * 0.9 < loader.waited
    assert done.wait(5)
    time.sleep(0.02)
    next(items)
    assert loader.waited < slow / 10
    assert next(items, None) is None
    assert loader.waited == 0
