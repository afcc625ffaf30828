"""Every command in the README and in docs/ is one that the program takes."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from xalign import dashboard
from xalign import list as listing
from xalign.analyze import with_models_as_key
from xalign.cli.command_line import check
from xalign.config.presets import config_folder
from xalign.config.schema import (
    AnalyzeConfig,
    Config,
    DataToolConfig,
    EvaluateConfig,
    MineConfig,
    SteerConfig,
    VocabularyConfig,
)
from xalign.data.__main__ import with_command

ROOT = Path(__file__).parent.parent
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for text in TEXTS
        for block in re.findall(r"```bash\n(.*?)```", text.read_text(encoding="utf-8"), re.DOTALL)
        for line in block.splitlines()
        if line.strip()
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)
    if words[0] in ("torchrun", "srun"):  # what they start
        words = ["python", *words[words.index("-m") :]]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[:2] == ["python", "-m"]:
        module, arguments = words[2], words[3:]
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        match module:
            case "xalign.run":
                check("xalign.run", "config", Config, paths=False)
            case "xalign.evaluate":
                check("xalign.evaluate", "evaluate", EvaluateConfig, paths=False)
            case "xalign.analyze":
                monkeypatch.setattr(sys, "argv", [module, *with_models_as_key(arguments)])
                check("xalign.analyze", "analyze", AnalyzeConfig, paths=False)
            case "xalign.steer":
                check("xalign.steer", "steer", SteerConfig, paths=False)
            case "xalign.list":
                assert listing.given(arguments)
            case "xalign.dashboard":
                assert dashboard.given(arguments)
            case "xalign.vocabulary":
                check("xalign.vocabulary", "vocabulary", VocabularyConfig, paths=False)
            case "xalign.data":
                wanted, rest = with_command(arguments)
                monkeypatch.setattr(sys, "argv", [module, *rest])
                if wanted == "mine":
                    check("xalign.data", "mine", MineConfig, paths=False)
                else:
                    check("xalign.data", "text", DataToolConfig, paths=False)
            case "xalign.report":  # run whole in test_run.py
                assert all("=" not in a or a.startswith("output=") for a in arguments)
            case _:
                pytest.fail(f"no entry point {module}")
    else:
        assert words[:2] == ["pip", "install"]


def test_the_table_of_groups_is_complete() -> None:
    """Group by group, the README lists exactly the options that `conf/` has."""
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+` ?)+)\| \D", (ROOT / "README.md").read_text(), re.MULTILINE)
    listed = {group: set(re.findall(r"`(\w+)`", options)) for group, options in rows}
    there = {
        p.name: {o.stem for o in p.glob("*.yaml")}
        for p in config_folder().iterdir()
        if p.is_dir() and p.name != "hydra"
    }
    assert listed == there


def test_files_that_the_texts_name_exist() -> None:
    for text in TEXTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", text.read_text(encoding="utf-8")):
            assert (text.parent / target).exists(), f"{text.name}: {target}"
