"""The W&B sweep file gives command lines that the program takes, put together by W&B's own code."""

import sys
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from xalign.cli.command_line import check
from xalign.config.schema import Config

FILE = Path(__file__).parent.parent.parent / "experiments" / "wandb_sweep" / "sweep.yaml"


def test_the_command_is_one_that_the_program_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = yaml.safe_load(FILE.read_text())
    drawn = {"loss.tau": 0.0312, "loss.layer": sweep["parameters"]["loss.layer"]["values"][-1]}
    macros = create_sweep_command_args({"args": {key: {"value": value} for key, value in drawn.items()}})
    words: list[str] = []
    for chunk in create_sweep_command(sweep["command"]):
        match chunk:
            case "${env}":
                words.append("env")
            case "${program}":
                words.append(sweep["program"])
            case "${args_no_hyphens}":
                words += macros["args_no_hyphens"]
            case _:
                words.append(chunk)
    assert words[:4] == ["env", "python", "-m", "xalign.run"]
    assert words[-2:] == ["loss.tau=0.0312", "loss.layer=12"]
    # The figure that W&B judges by is one that the run logs.
    monkeypatch.setattr(sys, "argv", [*words[3:], f"sweep.metric={sweep['metric']['name']}"])
    check("xalign.run", "config", Config)
