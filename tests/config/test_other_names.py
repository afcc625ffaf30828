"""Names of PyTorch Lightning's: none is refused without a word of what there is here instead."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

from xalign.config import other_names
from xalign.config.problems import field_names
from xalign.config.schema import Config
from xalign.options.composed import short_names


def lightnings_arguments() -> list[str]:
    """Those of `pl.Trainer`, from its source: importing it takes seconds."""
    found = find_spec("pytorch_lightning")
    assert found is not None
    assert found.origin is not None
    source = (Path(found.origin).parent / "trainer/trainer.py").read_text(encoding="utf-8")
    (trainer,) = (n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == "Trainer")
    (init,) = (n for n in trainer.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    return [argument.arg for argument in init.args.kwonlyargs]


def test_every_argument_of_lightnings_trainer_is_known() -> None:
    arguments = lightnings_arguments()
    assert {"max_steps", "precision", "fast_dev_run"} <= set(arguments)
    ours = {*field_names(Config, ["trainer"]), *other_names.KEYS}
    assert [name for name in arguments if name not in ours] == []


def test_the_keys_that_are_named_instead_exist() -> None:
    texts = [*other_names.KEYS.values(), *other_names.HYDRA.values()]
    texts += [text for values in other_names.VALUES.values() for text in values.values()]
    named = {match for text in texts for match in re.findall(r"\b([a-z]+)\.([a-z_]+)", text)}
    assert ("trainer", "steps") in named
    for group, name in named - {("metrics", "jsonl"), ("config", "yaml")}:
        assert name in [*field_names(Config, [group]), *short_names(group)], (group, name)
