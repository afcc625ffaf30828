"""`python -m xalign.report`: arguments, pages, messages."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xalign.base.errors import ConfigError
from xalign.report import main, parse

ROOT = Path(__file__).parents[2]

MakeRun = Callable[..., Path]


def test_parse() -> None:
    assert parse(["a", "output=x.html", "b"]) == ([Path("a"), Path("b")], Path("x.html"))
    with pytest.raises(ConfigError, match=r"outptu: unknown key .* did you mean 'output'"):
        parse(["a", "outptu=x"])
    with pytest.raises(ConfigError, match="given 2 times"):
        parse(["a", "output=x", "output=y"])
    with pytest.raises(ConfigError, match="no file given"):
        parse(["a", "output="])
    with pytest.raises(ConfigError, match="no run given"):
        parse(["output=x"])


def test_folder_with_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loss.tau=0.05").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse(["loss.tau=0.05"]) == ([Path("loss.tau=0.05")], None)


def test_one_run_and_two(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "one")
    make_run(tmp_path / "two", seed=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", "one"])
    main()
    assert capsys.readouterr().out.endswith("one/report.html\n")
    assert Path("one/report.html").is_file()
    monkeypatch.setattr(sys, "argv", ["report", "one", "two", "output=sub/both.html"])
    main()
    assert capsys.readouterr().out.endswith("sub/both.html\n")
    assert Path("sub/both.html").is_file()


def test_message_instead_of_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "xalign.report", str(tmp_path / "nothing")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    hint = "give the folder of a run (it holds config.yaml)"
    assert done.stderr == f"xalign: {tmp_path / 'nothing'}: no such folder; {hint}\n"


def test_imports_neither_torch_nor_lightning() -> None:
    program = (
        "import sys, xalign.report, xalign.reporting.html, xalign.reporting.card, xalign.reporting.console;"
        "print({'torch', 'lightning', 'pytorch_lightning', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
