"""A transform of another package is a file and an entry point: the one of the documentation."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from training_helpers import batches_of, small_config, small_module

from xalign.base import registry
from xalign.base.errors import ConfigError

DOCS = Path(__file__).parents[3] / "docs" / "data.md"


@pytest.fixture
def lower_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip would have installed it."""
    text = DOCS.read_text(encoding="utf-8")
    (tmp_path / "my_package").mkdir()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_package" / "lower_case.py").write_text(code[0], encoding="utf-8")
    group, name, value = re.findall(r'entry-points\."(.*?)"\]\n(\w+) = "(.*?)"', text)[0]
    points = {group: {name: EntryPoint(name, value, group)}}
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_entry_points", lambda wanted: points.get(wanted, {}))


@pytest.mark.usefixtures("lower_case")
def test_its_options_are_checked_and_it_changes_batches() -> None:
    wrong = r"data\.transforms\.lower_case\.probabilty: unknown key; did you mean 'probability'\?"
    with pytest.raises(ConfigError, match=wrong):
        small_config("data.transforms.lower_case.probabilty=1")
    config = small_config("data.transforms.lower_case.probability=1", "data.transforms.lower_case.share=0.5")
    module = small_module(config)
    chain = batches_of(config, module).material.transforms
    pair = batches_of(config, module).material.pairs.batch(0)[0]
    shouted = [type(pair)(**{**vars(pair), "source": pair.source.upper()})] * 100
    found = [own.source for own in chain.pairs(shouted, range(100), 0)]
    assert set(found) == {pair.source, pair.source.upper()}
    assert found.count(pair.source) == pytest.approx(50, abs=20)
