"""What is asked of analyses by config keys, and what is said where it cannot be had."""

from pathlib import Path

import pytest
from other_packages import installed

from xalign.base.errors import ConfigError
from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.schema import AnalyzeConfig, Config
from xalign.evaluation.analyses import ANALYSES
from xalign.evaluation.analyses.cka import Cka
from xalign.evaluation.analyses.language_probe import LanguageProbe
from xalign.options.plain import plain
from xalign.workspace.content import config_of, default_folder


def config(*overrides: str) -> Config:
    return resolve(compose_config("config", ["model=tiny", "languages=en_zh", *overrides]), Config)


def analyze_config(*overrides: str) -> AnalyzeConfig:
    return resolve(compose_config("analyze", ["model=tiny", *overrides]), AnalyzeConfig)


def problems(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config(*overrides)
    return error.value.problems


def test_a_run_makes_none_unless_asked_and_the_entry_point_makes_all() -> None:
    assert config().analyses == {}
    assert set(analyze_config().analyses) == set(ANALYSES.own_names())
    asked = config(
        "analyses=[cka,language_probe]", "analyses.cka.layers=[1,3]", "analyses.language_probe.c=1"
    )
    assert asked.analyses["cka"] == Cka.Config(layers=[1, 3])
    assert asked.analyses["language_probe"] == LanguageProbe.Config(c=1.0)
    assert set(config("analyses=[cka,language_probe]", "analyses.cka=null").analyses) == {"language_probe"}


def test_mistakes_name_the_key_and_what_is_allowed() -> None:
    found = problems(
        "analyses=[cka]",
        "+analyses.language_prob.c=1",
        "analyses.cka.debaised=false",
        "analyses.cka.sentences=3",
        "analyses.cka.pooling=max",
    )
    text = "\n".join(found)
    there = ", ".join(ANALYSES.names())
    near = "analyses.language_prob: no such analysis; did you mean 'language_probe'?"
    assert f"{near} (there are: {there})" in text
    assert len(found) == 4
    assert "analyses.cka.debaised: unknown key" in text
    assert "did you mean 'debiased'?" in text
    assert "analyses.cka.sentences=3: " in text
    assert "analyses.cka.pooling=max: " in text
    assert problems("+analyses.cka=7") == ["analyses.cka=7: must be a group of options, or null"]


def test_layers_and_languages_are_looked_up_as_far_as_they_are_known() -> None:
    asked = ("analyses=[cka]", "analyses.cka.layers=[2,5]", "analyses.cka.languages=[fr]")
    beyond, missing = problems(*asked)
    assert beyond == "analyses.cka.layers=[2, 5]: the model has layers 0 to 4"
    assert missing == "analyses.cka.languages=['fr']: no text in 'fr' (there is: zh)"
    # Of a model or text that is not loaded neither is known.
    others = ("benchmark=flores", "benchmark.path=x", "analyses.cka.layers=[2]")
    assert config(*asked, *others).analyses["cka"].languages == ["fr"]
    assert analyze_config("models=[x]", "analyses.cka.layers=[99]").analyses["cka"].layers == [99]


def test_the_entry_point_needs_analyses_and_parallel_text() -> None:
    with pytest.raises(ConfigError) as error:
        analyze_config("analyses=[]", "benchmark=xnli", "benchmark.path=x")
    assert error.value.problems == [
        f"analyses: none is asked for (there are: {', '.join(ANALYSES.names())})",
        "benchmark=xnli: has no parallel text; benchmark=heldout?",
    ]


def test_a_run_is_the_same_whatever_is_looked_at_beside() -> None:
    asked = config("analyses=[cka]")
    assert default_folder(asked) == default_folder(config())
    written = plain(asked)
    assert written["analyses"]["cka"]["pooling"] == "mean"
    written["analyses"]["gone"] = {"of": "a package that is no longer installed"}
    former = config_of(written)
    assert former is not None
    assert former.analyses == {}
    assert former.model == asked.model


THEIRS = '''
from dataclasses import dataclass
from xalign.config.parts import AnalysisConfig
from xalign.evaluation.analyses.base import Analysis


class Norms(Analysis):
    """Lengths."""
    @dataclass(frozen=True, kw_only=True)
    class Config(AnalysisConfig):
        squared: bool = False
        """Squares."""
'''


def test_another_package_adds_an_analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ANALYSES.names()
    installed(tmp_path, "xalign.analyses", "norms", "their_norms:Norms", THEIRS, monkeypatch)
    assert ANALYSES.names() == sorted([*own, "norms"])
    assert config("analyses.norms.squared=true").analyses["norms"].squared is True  # type: ignore[attr-defined]
    assert "analyses.norms.squred: unknown key" in problems("analyses.norms.squred=true")[0]
