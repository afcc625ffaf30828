"""`python -m xalign.evaluate` in process: what is measured is never lost."""

from pathlib import Path

import pytest
import torch

from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.schema import EvaluateConfig
from xalign.runs.measurement import evaluate


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    rows = [f"The {i} th page of a file was opened\tDie Seite {i} einer Datei war offen" for i in range(40)]
    (tmp_path / "pairs.tsv").write_text("\n".join(["en\tde", *rows]) + "\n")
    return tmp_path


def config(place: Path, *overrides: str) -> EvaluateConfig:
    own = (
        "model=tiny",
        f"data.path={place / 'pairs.tsv'}",
        "data.test_fraction=0.5",
        "languages.targets=[de]",
    )
    quick = ("languages.unseen=[]", "benchmark.tasks=[bits_per_byte]", "benchmark.limit=4")
    return resolve(compose_config("evaluate", [*own, *quick, *overrides]), EvaluateConfig)


def test_results_that_cannot_be_written_are_printed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The place was writable when it was looked up."""
    with pytest.raises(OSError, match=r"pairs\.tsv"):
        evaluate(config(place, f"output={place / 'pairs.tsv/results.json'}"))
    assert "bits per byte" in capsys.readouterr().out.lower()


def test_threads_are_those_asked_for(place: Path) -> None:
    before = torch.get_num_threads()
    try:
        evaluate(config(place, "threads=3"))
        assert torch.get_num_threads() == 3
        evaluate(config(place))  # OMP_NUM_THREADS of tests/conftest.py
        assert torch.get_num_threads() <= 2
    finally:
        torch.set_num_threads(before)
