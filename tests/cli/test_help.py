"""`--help` says what can be chosen, and what is chosen by default."""

import pytest

from xalign.cli.help import print_help


def test_groups_options_and_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_help("config", "xalign.run")
    lines = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "afp*, afp_paper, " in lines["loss"]
    assert "full, full_frozen_embeddings, lora*" in lines["adapter"]
    assert "early_stopping" in lines["callbacks"]
    assert "*" not in lines["callbacks"]
    assert "afp_xglm_en_zh" in lines["experiment"]
    assert "hydra" not in lines


def test_only_the_groups_of_the_entry_point(capsys: pytest.CaptureFixture[str]) -> None:
    print_help("evaluate", "xalign.evaluate")
    shown = capsys.readouterr().out
    assert "heldout*" in shown
    assert "strategy" not in shown
