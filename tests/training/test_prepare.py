"""What is looked up before training: what could not be done, or would do nothing, is reported."""

import logging

import pytest
from tiny import tiny_backbone
from training_helpers import small_config, small_corpus

from xalign.base.errors import ConfigError
from xalign.data.parallel import Splits
from xalign.training.prepare import prepare

SWITCHED = "data.transforms.code_switch.samples"


@pytest.mark.parametrize(
    ("overrides", "idle"),
    [
        (["transforms=[word_dropout,code_switch]"], []),
        (["transforms=[word_dropout,code_switch]", "loss=instruction"], ["word_dropout"]),
        ([f"{SWITCHED}=instructions", "loss=contrastive"], ["code_switch"]),
        ([f"{SWITCHED}=all", "loss=contrastive"], []),
    ],
)
def test_a_transform_that_does_nothing_is_reported(
    overrides: list[str], idle: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    corpus = small_corpus()
    with caplog.at_level(logging.WARNING, "xalign"):
        prepare(small_config(*overrides), tiny_backbone("llama"), Splits(corpus, corpus, corpus), 2)
    reported = [m for m in caplog.messages if m.startswith("data.transforms.")]
    assert [m.split(":")[0] for m in reported] == [f"data.transforms.{name}" for name in idle]
    assert all("it does nothing" in m for m in reported)


@pytest.mark.parametrize(
    ("held", "others"),
    [("strategy=fsdp", []), ("optimizer=adamw_bf16", ["adapter=full", "loss.retention_weight=0"])],
)
def test_validation_in_another_precision_than_the_model_is_held_in_is_refused(
    held: str, others: list[str]
) -> None:
    """Before anything is measured."""
    corpus = small_corpus()
    validation = ["benchmark@validation=heldout", "validation.tasks=[bits_per_byte]"]
    precision = ["trainer.precision=bf16", "validation.precision=fp32"]
    config = small_config(*validation, "trainer.evaluate_every=2", *precision, held, *others)
    with pytest.raises(ConfigError, match=rf"validation\.precision=fp32: with {held} the model is measured"):
        prepare(config, tiny_backbone("llama"), Splits(corpus, corpus, corpus), 2)


@pytest.mark.parametrize(
    ("layers", "layer", "problem"),
    [
        ("below", 0, "no block is below the aligned layer 0"),
        ("above", 2, "trains nothing that contrastive runs, which ends at the aligned layer 2"),
    ],
)
def test_blocks_that_leave_nothing_to_train_are_refused(layers: str, layer: int, problem: str) -> None:
    corpus = small_corpus()
    config = small_config("loss=contrastive", f"adapter.layers={layers}")
    with pytest.raises(ConfigError, match=rf"adapter\.layers={layers}: {problem}"):
        prepare(config, tiny_backbone("llama"), Splits(corpus, corpus, corpus), layer)
