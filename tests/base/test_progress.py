import logging

import pytest

from xalign.base import progress
from xalign.base.progress import progress_bar


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
