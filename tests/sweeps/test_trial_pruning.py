"""A trial in training: told of each measurement, and given up where it is worse than most others."""

import json
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from tiny import tiny_backbone
from training_helpers import small_config, small_corpus, small_inputs, timeless

from xalign.base.errors import ConfigError, Pruned
from xalign.config.schema import Config
from xalign.data.parallel import Splits
from xalign.models import adapters
from xalign.sweeps.folder import Job, Status
from xalign.sweeps.summary import best_of
from xalign.training.callbacks.evaluate import Evaluate, validation_setting
from xalign.training.fit import fit
from xalign.trials.figures import kept_values
from xalign.trials.study import open_study
from xalign.workspace.folder import RunFolder

BITS = "eval/heldout/bits_per_byte/mean"
JUDGED = (
    "benchmark@validation=heldout", "validation.tasks=[bits_per_byte]", "validation.limit=6",
    "validation.precision=fp32", "trainer.evaluate_every=2", f"sweep.metric={BITS}", "sweep.startup=1",
)  # fmt: skip


def fitted(config: Config, path: Path) -> None:
    backbone = tiny_backbone("llama")
    parts = Splits(small_corpus(), small_corpus(9), small_corpus(9))
    path.mkdir(exist_ok=True)
    setting = validation_setting(config, parts, layer=2)
    adapter = adapters.attach(backbone, config.adapter)
    fit(config, RunFolder(path), small_inputs(config, backbone, adapter, splits=parts, validation=setting))


def search(path: Path, others: float) -> optuna.trial.Trial:
    """A study of two finished trials, with this value at each measurement, and a third that is running."""
    study = open_study(path, [True], small_config(*JUDGED).sweep)
    for _ in range(2):
        trial = study.ask({"loss.tau": FloatDistribution(0.01, 0.2)})
        for step in (2, 4, 6):
            trial.report(others, step)
        study.tell(trial, others)
    return study.ask({"loss.tau": FloatDistribution(0.01, 0.2)})


def test_a_trial_that_is_worse_than_the_others_is_given_up(tmp_path: Path) -> None:
    search(tmp_path / "study.log", others=0.1)  # bits a byte: less is better
    config = small_config(*JUDGED, f"sweep.study={tmp_path / 'study.log'}", "sweep.trial=2")
    with pytest.raises(Pruned, match="given up at step 2"):
        fitted(config, tmp_path / "run")
    lines = timeless(tmp_path / "run")
    assert [line["step"] for line in lines] == [1, 2]
    assert (tmp_path / "run" / "PRUNED").exists()
    seen = open_study(tmp_path / "study.log", [True], config.sweep).get_trials()[2]
    assert seen.intermediate_values == {2: lines[1][BITS]}
    assert seen.state is TrialState.RUNNING  # what becomes of it, the search says


@pytest.mark.parametrize(("others", "prune"), [(99.0, "true"), (0.1, "false")])
def test_a_trial_goes_to_its_end_otherwise(others: float, prune: str, tmp_path: Path) -> None:
    search(tmp_path / "study.log", others)
    study = f"sweep.study={tmp_path / 'study.log'}"
    config = small_config(*JUDGED, study, "sweep.trial=2", f"sweep.prune={prune}")
    fitted(config, tmp_path / "run")
    lines = timeless(tmp_path / "run")
    assert len(lines) == 6
    assert kept_values(config, tmp_path / "run" / "metrics.jsonl") == [lines[-1][BITS]]


def test_the_value_is_that_of_the_step_that_is_kept(tmp_path: Path) -> None:
    other = "eval/heldout/retrieval@1/mean"
    file = tmp_path / "metrics.jsonl"
    lines = [
        {"step": 1},
        {BITS: 2.0, other: 0.1},
        {BITS: 1.0, other: 0.2},
        {BITS: 1.0, other: 0.3},
        {"step": 5},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    also = (f"sweep.also=[{other}]", "validation.tasks=[bits_per_byte,retrieval]")
    assert kept_values(small_config(*JUDGED, *also), file) == [1.0, 0.3]
    assert kept_values(small_config(*JUDGED, *also, f"trainer.select={BITS}"), file) == [1.0, 0.2]


def test_a_figure_that_is_no_number_judges_nothing(tmp_path: Path) -> None:
    """Neither where the step was chosen by it, nor where the last one has it: such a job never wins."""
    file = tmp_path / "metrics.jsonl"
    file.write_text(f'{{"{BITS}": NaN}}\n{{"{BITS}": 1.5}}\n{{"{BITS}": NaN}}\n')
    assert kept_values(small_config(*JUDGED), file) is None
    assert kept_values(small_config(*JUDGED, f"trainer.select={BITS}"), file) == [1.5]
    jobs = [
        Job(number=number, overrides=[], status=Status.complete, values=[value])
        for number, value in enumerate((float("nan"), 2.0, 1.0))
    ]
    assert [job.number for job in best_of([True], jobs)] == [2]
    assert [job.number for job in best_of([False], jobs)] == [1]


def test_a_figure_that_is_missing_ends_the_run_at_the_first_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A language of the set may turn out to have no text."""
    monkeypatch.setattr(Evaluate, "measure", lambda self, module: {BITS[:-4] + "de": 1.0})
    with pytest.raises(
        ConfigError, match=r"mean is not measured; did you mean 'eval/heldout/bits_per_byte/de'"
    ):
        fitted(small_config(*JUDGED), tmp_path / "run")
