"""experiments/families, a few types of it: each verdict, in a process of its own."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "families"
sys.path.append(str(EXPERIMENT))

import checks  # noqa: E402
from examine import apart, examine  # noqa: E402
from verdicts import NO_DECODER, verdict, write_table  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """A forked process cannot use the threads of its parent."""
    former = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(former)


@pytest.mark.parametrize(
    ("kind", "expected"), [("cohere", "works"), ("bert", NO_DECODER), ("dory", "refused")]
)
def test_verdicts(kind: str, expected: str) -> None:
    assert verdict(examine(kind))[0] == expected


def test_other_numbers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    own = checks.Backbone.hidden_states
    monkeypatch.setattr(checks.Backbone, "hidden_states", lambda *a: own(*a) * (1.1 if a[2] == 3 else 1.0))
    kind, why = verdict(examine("llama"))
    assert kind == "wrong"
    assert "layer 3: differs by 0.1" in why


def test_what_hangs_or_dies_stops_nothing(tmp_path: Path) -> None:
    late = apart(lambda: time.sleep(30) or {}, 1)
    assert late == {"died": "took longer than 1 s"}
    assert "ZeroDivisionError" in apart(lambda: {"never": 1 / 0}, 5)["died"]
    results = [{"type": "late", **late}, {"type": "fine", "problems": {}, "packs": True}]
    write_table(results, tmp_path / "README.md", "5")
    assert "| late | wrong |  | took longer than 1 s |" in (tmp_path / "README.md").read_text()
