"""One rank on the global batch equals several: gradients, norms, parameters after three steps.

Batches are as unequal as they come: ranks hold different numbers of tokens and of passes, and sentences that
count as the same lie on different ranks.
"""

from functools import cache

import pytest
import torch
from rank_cases import Case, Named, Outcome, outcome_of, outcomes_of_ranks

FAMILIES = ("xglm", "bloom", "llama", "gemma3_text")
CASES = [
    Case(strategy, family, adapter)
    for strategy in ("ddp", "fsdp")
    for family in FAMILIES
    for adapter in ("lora", "full")
]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Outcome]:
    return outcomes_of_ranks(CASES, 2, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Outcome]:
    return outcomes_of_ranks(CASES, 4, tmp_path_factory.mktemp("four"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_ranks_equal_one(case: Case, two: dict[Case, Outcome]) -> None:
    compare(case, two[case])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_four_ranks_equal_one(case: Case, four: dict[Case, Outcome]) -> None:
    compare(case, four[case])


@cache
def alone(case: Case) -> Outcome:
    return outcome_of(case, 0, 1)


def compare(case: Case, several: Outcome) -> None:
    one = alone(Case("single", case.family, case.adapter))
    assert len(set(several.tokens)) > 1
    assert len(set(several.passes)) > 1
    assert sum(several.tokens) == one.tokens[0]
    assert set(several.losses) == set(one.losses)
    for name, gradient in one.gradients.items():
        assert several.losses[name] == pytest.approx(one.losses[name], rel=1e-6), name
        assert difference(several.gradients[name], gradient) < 1e-6, name
    assert several.norms == pytest.approx(one.norms, rel=1e-5)
    assert difference(several.parameters, one.parameters) < 1e-5


def difference(found: Named, wanted: Named) -> float:
    """Size of the difference, as a share of the size."""
    assert set(found) == set(wanted)
    errors = [(found[name] - value).norm() for name, value in wanted.items()]
    sizes = [value.norm() for value in wanted.values()]
    return float(torch.stack(errors).norm() / torch.stack(sizes).norm())
