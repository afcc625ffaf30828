"""A mix of instructions has its sources' samples, in the shares that are configured."""

import json
from pathlib import Path

import pytest
from training_helpers import small_config, small_corpus

from xalign.base.errors import ConfigError
from xalign.data.instructions import InstructionSampler, load_instructions


def written(folder: Path) -> Path:
    """Bactrian-X's layout, whose answers are told apart from those of the corpus."""
    for code in ("en", "fr", "de"):
        rows = [
            {"id": str(i), "instruction": f"say {i}", "input": "", "output": f"said {code} {i}"}
            for i in range(9)
        ]
        (folder / f"{code}.json").write_text(json.dumps(rows))
    return folder


def sampler(*options: str) -> InstructionSampler:
    config = small_config("instructions=mix", *options)
    return load_instructions(config.instructions, config.languages, small_corpus(), config.seed)


@pytest.mark.parametrize(("mix", "share"), [("{parallel: 3, bactrian: 1}", 0.25), ("{bactrian: 0.1}", 1.0)])
def test_shares_are_as_configured(mix: str, share: float, tmp_path: Path) -> None:
    found = sampler(f"instructions.mix={mix}", f"instructions.path={written(tmp_path)}")
    samples = [sample for step in range(40) for sample in found.batch(step, 20)]
    count = sum(sample.answer.startswith(" said") for sample in samples)
    assert count == pytest.approx(800 * share, abs=4 * (800 * share * (1 - share)) ** 0.5)


def test_ranks_share_one_batch_and_what_is_drawn_does_not_depend_on_the_shares(tmp_path: Path) -> None:
    path = f"instructions.path={written(tmp_path)}"
    even, uneven = (sampler(f"instructions.mix={{parallel: 1, bactrian: {b}}}", path) for b in (1, 9))
    whole = even.batch(3, 8)
    assert [*even.batch(3, 4, 0, 2), *even.batch(3, 4, 1, 2)] == whole
    both = zip(whole, uneven.batch(3, 8), strict=True)
    assert any(a == b for a, b in both if a.answer.startswith(" said"))
    assert set(even.texts("fr")) == {own for i in range(9) for own in (f"say {i}", f"said fr {i}")}


def test_mistakes_name_the_key(tmp_path: Path) -> None:
    for options, message in (
        ((), "instructions.mix: required"),
        (("instructions.mix={paralel: 1}",), "no source 'paralel'; did you mean 'parallel'?"),
        (("instructions.mix={parallel: 0}",), "instructions.mix.parallel=0: must be above 0"),
        (("instructions.mix={bactrian: 1}",), "instructions.path: required"),
    ):
        with pytest.raises(ConfigError) as error:
            sampler(*options)
        assert message in " ".join(error.value.problems)
