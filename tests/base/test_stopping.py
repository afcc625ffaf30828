"""Signals: noted in training, raised elsewhere; Slurm's job queued again."""

import os
import signal
from pathlib import Path

import pytest

from xalign.base.errors import Stopped
from xalign.base.stopping import Requests, requeued, stoppable


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_stop_what_is_stoppable(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"stopped by {number.name}; .*; the same command goes on") as stopped:  # noqa: SIM117
        with stoppable():
            os.kill(os.getpid(), number)
    assert stopped.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_training_notes_them_and_a_second_ctrl_c_does_not_wait() -> None:
    requests = Requests()
    requests.start()
    try:
        # Slurm sends a signal to a process and to its parent, which passes it on.
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert requests.asked == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        requests.end()


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "13", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}, "12_3"),
    ],
)
def test_slurm_is_asked_to_run_the_job_again(
    variables: dict[str, str], job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        with pytest.raises(Stopped), requeued():
            raise Stopped(number)
    assert (tmp_path / "asked").read_text() == f"requeue {job}\n"


def test_without_scontrol_the_command_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Stopped), requeued():
        raise Stopped(signal.SIGUSR1)
    assert "run scontrol requeue 12" in caplog.text
