import logging

import pytest
from rich.console import Console

from xalign.base import progress, terminal
from xalign.base.progress import download_bar, progress_bar


def test_without_a_terminal_there_is_a_plain_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = iter([0.0, 10.0, 31.0, 45.0, 62.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress_bar("tatoeba: mexa", 100) as advance:
        for _ in range(4):
            advance(20)
    assert caplog.messages == [
        "tatoeba: mexa: 40 of 100, 1/s, 46 s left",
        "tatoeba: mexa: 80 of 100, 1/s, 16 s left",
    ]


def test_a_download_says_its_size_and_speed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = iter([0.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with download_bar("facebook/xglm-564M", 2_000_000_000) as advance:
        advance(800_000_000)
    assert caplog.messages == ["facebook/xglm-564M: 800.0 MB of 2.0 GB, 20.0 MB/s, 60 s left"]


def test_a_terminal_shows_a_download_as_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(force_terminal=True, width=120, stderr=True)
    for module in (progress, terminal):
        monkeypatch.setattr(module, "stderr", lambda: console)
    with download_bar("facebook/xglm-564M", 2_000_000_000) as advance:
        advance(800_000_000)
    shown = capsys.readouterr().err
    assert "facebook/xglm-564M" in shown
    assert "0.8/2.0 GB" in shown
    with download_bar("facebook/xglm-564M", 2_000_000_000, quiet=True) as advance:
        advance(800_000_000)
    assert capsys.readouterr().err == ""
