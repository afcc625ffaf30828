"""What is chosen, and the reason that is told."""

import os

import pytest
import torch

from xalign.base.decisions import Decisions
from xalign.distributed.world import JOBS_AT_ONCE, THREADS
from xalign.performance.automatic import choose_micro_batch, choose_threads


@pytest.mark.parametrize(
    ("ranks", "jobs", "threads"), [(1, 1, 8), (2, 1, 4), (2, 2, 2), (1, 3, 2), (4, 4, 1)]
)
def test_threads_are_shared_by_ranks_and_jobs(
    ranks: int, jobs: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setenv(JOBS_AT_ONCE, str(jobs))
    monkeypatch.delenv("OMP_NUM_THREADS")
    decisions = Decisions(quiet=True)
    assert choose_threads(None, ranks, decisions) == threads
    assert choose_threads(5, ranks, decisions) == 5
    (made,) = decisions.made
    assert made["reason"].startswith("8 cores shared by")


@pytest.mark.parametrize(
    ("variables", "threads"),
    [
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "3,2"}, 3),
        ({"OMP_NUM_THREADS": "16"}, 4),  # no more than its share
        ({"OMP_NUM_THREADS": ""}, 4),
        ({"OMP_NUM_THREADS": "1", "RANK": "0"}, 4),  # torchrun's
        ({"OMP_NUM_THREADS": "1", "RANK": "0", THREADS: "2"}, 2),  # of a rank that we have started
    ],
    ids=str,
)
def test_fewer_threads_by_the_environment(
    variables: dict[str, str], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    decisions = Decisions(quiet=True)
    assert choose_threads(None, 2, decisions) == threads
    assert choose_threads(7, 2, decisions) == 7
    (made,) = decisions.made
    assert made["reason"].startswith("OMP_NUM_THREADS" if threads < 4 else "8 cores")


@pytest.mark.parametrize(
    ("configured", "largest", "room", "chosen"),
    [
        ("auto", 4096, 1e9, 4096),  # all of it: 7,500 tokens would fit
        ("auto", 4097, 1e9, 4096),  # 8,192 would be needed
        ("auto", 300, 1e9, 512),
        ("auto", 4096, 1e8, 512),  # 750 tokens fit
        ("auto", 4096, 1.36e8, 512),  # 1,020
        ("auto", 4096, 1.37e8, 1024),  # 1,027
        ("auto", 4096, 0, 1),
        ("auto", 1, 1e9, 1),
        ("700", 4096, 1e9, 700),
    ],
)
def test_micro_batch(configured: str, largest: int, room: float, chosen: int) -> None:
    decisions = Decisions(quiet=True)
    found = choose_micro_batch(configured, largest, decisions, room=room, token=1e5, reserve=0.25)
    assert found == chosen
    (made,) = decisions.made
    assert made["what"] == "trainer.micro_batch"
    assert made["value"] == str(chosen)
    assert made["reason"]
