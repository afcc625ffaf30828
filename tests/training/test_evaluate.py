"""Measuring during training: what is logged, what is chosen, and that training does not notice."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_backbone
from training_helpers import power_cut, small_config, small_corpus, small_inputs, small_module, timeless

from xalign.base.errors import ConfigError, DataError
from xalign.config.schema import BenchmarkConfig, Config
from xalign.data.parallel import ParallelCorpus, Splits
from xalign.data.rows import Row
from xalign.evaluation.evaluate import session_of
from xalign.evaluation.results import Result
from xalign.evaluation.task import Measured, Setting
from xalign.evaluation.tasks import tasks_of
from xalign.models import adapters
from xalign.training.callbacks.evaluate import Evaluate, figures, require_other_items, validation_setting
from xalign.training.checkpoints import Kind, load_state, newest, restore_chosen
from xalign.training.fit import fit
from xalign.training.module import AlignedModel
from xalign.workspace.folder import RunFolder

MEASURED = (
    "benchmark@validation=heldout",
    "validation.tasks=[retrieval,bits_per_byte]",
    "validation.limit=6",
    "validation.precision=fp32",
    "trainer.evaluate_every=2",
)
BITS = "eval/heldout/bits_per_byte/mean"


def made(tag: str, rows: int) -> ParallelCorpus:
    texts = [
        {c: f"{tag} sentence {i} in {c}" + " so" * (i % 3) for c in ("en", "fr", "de")} for i in range(rows)
    ]
    return ParallelCorpus.from_rows([Row("made", t) for t in texts], "made")


def splits() -> Splits:
    return Splits(small_corpus(), made("validation", 9), made("test", 9))


def fitted(config: Config, path: Path) -> dict[str, torch.Tensor]:
    backbone = tiny_backbone("llama")
    adapter = adapters.attach(backbone, config.adapter)
    parts = splits()
    path.mkdir(exist_ok=True)
    setting = validation_setting(config, parts, layer=2)
    fit(config, RunFolder(path), small_inputs(config, backbone, adapter, splits=parts, validation=setting))
    return {n: p.detach().clone() for n, p in backbone.named_parameters() if p.requires_grad}


def training_lines(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if not k.startswith("eval/")} for line in timeless(path)]


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_training_does_not_notice(adapter: str, tmp_path: Path) -> None:
    changes = ["adapter.dropout=0.1"] if adapter == "lora" else ["adapter=full", "loss.retention_weight=0"]
    plain = fitted(small_config(*changes), tmp_path / "plain")
    measured = fitted(small_config(*changes, *MEASURED), tmp_path / "measured")
    for name, value in plain.items():
        assert torch.equal(measured[name], value), name
    assert training_lines(tmp_path / "measured") == training_lines(tmp_path / "plain")


def test_figures_are_those_of_the_tasks_on_the_validation_text(tmp_path: Path) -> None:
    config = small_config(*MEASURED, "trainer.steps=5", "trainer.evaluate_every=3")
    fitted(config, tmp_path / "run")
    logged = timeless(tmp_path / "run")
    assert [line["step"] for line in logged if BITS in line] == [3, 5]

    # The last parameters again, measured by hand.
    backbone = tiny_backbone("llama")
    adapters.attach(backbone, config.adapter)
    restore_chosen(backbone, tmp_path / "run" / "checkpoints")
    setting = validation_setting(config, splits(), layer=2)
    assert setting is not None
    session = session_of(backbone, setting.benchmark)
    parts = [part for task in tasks_of(setting.benchmark).values() for part in task.parts(setting)]
    rows = [row for part in parts for row in part.measure(session, lambda count: None).results]
    for row in rows:
        key = f"eval/heldout/{row.metric}/{row.language}"
        if row.layer in (None, 2):
            assert logged[4][key] == pytest.approx(row.value, rel=1e-6)
    bits = {row.language: row.value for row in rows if row.metric == "bits_per_byte"}
    assert logged[4][BITS] == pytest.approx((bits["fr"] + bits["de"]) / 2)
    assert {row.n for row in rows} == {6}


def test_what_is_measured_is_never_transformed(tmp_path: Path) -> None:
    """With steps too small to change a weight, figures are those of the texts alone."""
    still = (*MEASURED, "optimizer.lr=1e-30", "trainer.steps=2")
    thinned = ("data.transforms.word_dropout.probability=0.5",)
    lines = []
    for name, changes in {"plain": (), "thinned": thinned}.items():
        fitted(small_config(*still, *changes), tmp_path / name)
        lines.append(timeless(tmp_path / name)[-1])
    measured = [{k: v for k, v in line.items() if k.startswith("eval/")} for line in lines]
    assert BITS in measured[0]
    assert measured[0] == measured[1]
    assert lines[0]["loss/contrastive"] != lines[1]["loss/contrastive"]


def test_it_is_the_validation_text_with_demonstrations_from_the_training_text() -> None:
    setting = validation_setting(small_config(*MEASURED), splits(), layer=2)
    assert setting is not None
    assert setting.corpus is not None
    assert setting.demonstrations is not None
    assert setting.corpus.texts("en") == made("validation", 9).texts("en")
    assert setting.demonstrations.texts("en") == small_corpus().texts("en")
    assert list(setting.languages) == ["de", "fr"]
    assert validation_setting(small_config(), splits(), layer=2) is None


def test_multiple_choice_is_measured_on_its_validation_split() -> None:
    changes = ["benchmark@validation=xcopa", "trainer.evaluate_every=2"]
    setting = validation_setting(small_config(*changes), splits(), layer=2)
    assert setting is not None
    assert (setting.benchmark.split, setting.corpus) == ("validation", None)


def test_a_resumed_run_measures_and_chooses_the_same(tmp_path: Path) -> None:
    config = small_config(
        *MEASURED, f"trainer.select={BITS}", "adapter.dropout=0.1", "trainer.checkpoint_every=3"
    )
    whole = fitted(config, tmp_path / "whole")
    with power_cut(4):  # one measurement after the last checkpoint
        fitted(config, tmp_path / "cut")
    resumed = fitted(config, tmp_path / "cut")
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("retrieval@1", (0.2, 0.5, 0.5), 2),
        ("bits_per_byte", (2.0, 1.5, 1.6), 2),
        ("bits_per_byte", (2.0, 1.5, 1.4), 3),
    ],
)
def test_the_step_that_measured_best_is_kept(
    metric: str, values: tuple[float, ...], best: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    key = f"eval/heldout/{metric}/mean"
    after: dict[int, dict[str, torch.Tensor]] = {}

    def measure(self: Evaluate, module: AlignedModel) -> dict[str, float]:
        after[module.next_step] = {n: p.detach().clone() for n, p in module.backbone.named_parameters()}
        return {key: values[module.next_step - 1]}

    monkeypatch.setattr(Evaluate, "measure", measure)
    with caplog.at_level(logging.INFO):
        steps = ("trainer.steps=3", "trainer.evaluate_every=1", "loss.retention_weight=0")
        kept = fitted(small_config(*MEASURED, f"trainer.select={key}", *steps), tmp_path / "run")
    for name, value in kept.items():
        assert torch.equal(value, after[best][name]), name
    assert any(not torch.equal(after[best][name], after[best - 1][name]) for name in kept)
    assert f"the parameters of step {best} are kept" in caplog.text
    chosen = newest(tmp_path / "run" / "checkpoints", Kind.best)
    assert chosen is not None
    saved = load_state(chosen)
    assert saved["next_step"] == best
    assert {name.removeprefix("backbone.") for name in saved["state_dict"]} == set(kept)
    assert "optimizer_states" not in saved


def test_without_a_choice_no_best_checkpoint_is_written(tmp_path: Path) -> None:
    fitted(small_config(*MEASURED, "trainer.steps=2"), tmp_path / "run")
    assert newest(tmp_path / "run" / "checkpoints", Kind.best) is None


def test_a_value_that_is_no_number_is_never_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = (float("nan"), 0.4, float("nan"))

    def measure(self: Evaluate, module: AlignedModel) -> dict[str, float]:
        return {BITS: values[module.next_step - 1]}

    monkeypatch.setattr(Evaluate, "measure", measure)
    steps = ("trainer.steps=3", "trainer.evaluate_every=1", "loss.retention_weight=0")
    fitted(small_config(*MEASURED, f"trainer.select={BITS}", *steps), tmp_path / "run")
    chosen = newest(tmp_path / "run" / "checkpoints", Kind.best)
    assert chosen is not None
    assert chosen.step == 2


HARMLESS = "eval/use/harmless/mean"
GATE = (
    "benchmark@validation=use",
    "validation.tasks=[retrieval,bits_per_byte]",
    "validation.precision=fp32",
    "trainer.evaluate_every=1",
    "trainer.select=harmless",
    "loss.retention_weight=0",
)


def test_harmless_is_the_figure_s_short_name() -> None:
    assert small_config(*GATE).trainer.select == HARMLESS
    with pytest.raises(ConfigError, match=rf"{HARMLESS}: not measured"):
        small_config(*GATE, "validation.tasks=[retrieval]")
    with pytest.raises(ConfigError, match=f"is of all languages together: {HARMLESS}"):
        small_config(*GATE, "trainer.select=eval/use/harmless/fr")
    with pytest.raises(ConfigError, match=r"trainer\.select=harmless: nothing is chosen to measure"):
        small_config("trainer.select=harmless")


def test_a_step_before_the_harm_is_kept(tmp_path: Path) -> None:
    """At a rate at which text is soon predicted worse, the kept step is one that still lost nothing."""
    hard = ("loss=contrastive", "adapter=full", "optimizer.lr=0.012", "optimizer.warmup_fraction=1")
    fitted(small_config(*GATE, *hard, "trainer.steps=6"), tmp_path / "run")
    ranked = {line["step"]: line[HARMLESS] for line in timeless(tmp_path / "run")}
    assert ranked[1] > 0 > ranked[6]
    chosen = newest(tmp_path / "run" / "checkpoints", Kind.best)
    assert chosen is not None
    assert ranked[chosen.step] == max(ranked.values())
    assert chosen.step < 6
    retrieval = {line["step"]: line["eval/use/retrieval@1/mean"] for line in timeless(tmp_path / "run")}
    assert all(value == retrieval[step] or value < 0 for step, value in ranked.items())


def test_a_step_is_compared_with_the_model_before_training_after_a_break_too(tmp_path: Path) -> None:
    config = small_config(*GATE, "trainer.steps=4", "trainer.checkpoint_every=2", "optimizer.lr=0.01")
    fitted(config, tmp_path / "whole")
    with power_cut(3):
        fitted(config, tmp_path / "cut")
    fitted(config, tmp_path / "cut")
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")


@pytest.mark.parametrize("key", ["trainer.select", "sweep.metric"])
def test_figures_that_are_not_measured_are_refused_with_the_config(key: str) -> None:
    for figure, message in (
        ("eval/heldout/retrieval/mean", r"not measured; did you mean 'eval/heldout/retrieval@1/mean'"),
        ("eval/heldout/accuracy/mean", r"not measured.*eval/heldout/bits_per_byte/mean"),
        ("eval/heldout/retrieval@1/th", r"not measured in 'th' \(in: en, fr, de, mean\)"),
        ("eval/heldout/retrieval@1/klingon", "'klingon' is neither mean nor a language"),
        ("eval/heldout/retrieval@1/deu", "write eval/heldout/retrieval@1/de"),
    ):
        with pytest.raises(ConfigError, match=message):
            small_config(*MEASURED, f"{key}={figure}")
    with pytest.raises(ConfigError, match="did you mean 'eval/xnli/accuracy/mean'"):
        small_config("benchmark@validation=xnli", "trainer.evaluate_every=2", f"{key}=eval/xnli/acuracy/mean")


@pytest.mark.parametrize("key", ["trainer.select", "sweep.metric"])
def test_figures_are_those_that_tasks_log(key: str) -> None:
    choice = ("validation.tasks=[translation_choice]", f"{key}=eval/translation_choice/accuracy/mean")
    small_config(*MEASURED, *choice)
    last = ("validation.poolings=[last]", f"{key}=eval/heldout/retrieval@1_best_centred_last/de")
    small_config(*MEASURED, *last)
    both = ("validation.tasks=[xnli,xcopa]", f"{key}=eval/xcopa/accuracy/sw")
    small_config("benchmark@validation=afp", "trainer.evaluate_every=2", *both)


def test_missing_data_shows_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no text in 'th'"):
        fitted(small_config(*MEASURED, "validation.languages=[th]"), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_means_leave_the_pivot_out_and_layers_are_the_aligned_one() -> None:
    setting = validation_setting(small_config(*MEASURED), splits(), layer=2)
    assert setting is not None

    def row(metric: str, language: str, value: float, layer: int | None = None) -> Result:
        return Result(
            benchmark="b", language=language, metric=metric, value=value, stderr=None, n=1, layer=layer
        )

    found = figures(
        [row("bits", "en", 9), row("bits", "de", 1), row("bits", "fr", 2), row("r", "de", 5, 1),
         row("r", "de", 7, 2), row("english", "en", 3)],
        setting,
    )  # fmt: skip
    assert found == {
        "eval/b/bits/en": 9, "eval/b/bits/de": 1, "eval/b/bits/fr": 2, "eval/b/bits/mean": 1.5,
        "eval/b/r/de": 7, "eval/b/r/mean": 7, "eval/b/english/en": 3, "eval/b/english/mean": 3,
    }  # fmt: skip


def test_ranks_share_out_the_languages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each of two ranks, one after the other, measures languages of its own; together they measure all."""
    config = small_config(*MEASURED)
    setting = validation_setting(config, splits(), layer=2)
    assert setting is not None
    module = small_module(config)
    callback = Evaluate(setting, config, RunFolder(tmp_path), torch.float32)
    whole = callback.measure(module)
    gathered: list[list[tuple[int, Measured]]] = []
    monkeypatch.setattr("xalign.distributed.collectives.world_size", lambda: 2)
    monkeypatch.setattr(
        "xalign.distributed.collectives.gather_lists", lambda own: gathered.append(own) or own
    )
    for rank in (0, 1):
        monkeypatch.setattr("xalign.distributed.collectives.rank", lambda rank=rank: rank)
        callback.measure(module)
    first, second = ([row for _, own in parts for row in own.results] for parts in gathered)
    assert not {row.language for row in first} & {row.language for row in second}
    assert figures([*first, *second], setting) == pytest.approx(whole)


def test_settings_that_say_nothing_are_refused() -> None:
    for changes, message in (
        (["trainer.evaluate_every=2"], "add benchmark@validation"),
        ([MEASURED[0]], "evaluate_every: required"),
        ([*MEASURED, "trainer.select=eval/other/r/mean"], "not measured"),
        (["benchmark@validation=tatoeba", "trainer.evaluate_every=2"], "validation.path: required"),
        (["benchmark@validation=tatoeba", "validation.path=x", "benchmark=tatoeba", "benchmark.path=x",
          "trainer.evaluate_every=2"], "benchmark measures that"),
        ([*MEASURED, "validation.tasks=[retrival]"], "did you mean 'retrieval'"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
            small_config(*changes)


def test_a_step_is_not_chosen_by_what_is_measured_at_the_end(tmp_path: Path) -> None:
    """Defect 2 of the published code: its best checkpoint was the best on the test split."""
    for split, premise in (("test", "He left."), ("val", "She left.")):
        row = {"premise": premise, "choice1": split, "choice2": "Soon.", "question": "cause", "label": 0}
        (tmp_path / f"{split}.et.jsonl").write_text(json.dumps(row), encoding="utf-8")
    test, validation = (
        Setting(
            BenchmarkConfig(name="xcopa", tasks=["xcopa"], path=str(tmp_path), split=split),
            *(None, None, "en", []),
            aligned_layer=2,
            seed=0,
        )
        for split in ("test", "validation")
    )
    require_other_items(["trainer.select"], validation, test)
    with pytest.raises(
        ConfigError, match=r"^.*\n.*sweep.metric: .*3 of 3 texts are also measured at the end"
    ):
        require_other_items(["sweep.metric"], test, test)
