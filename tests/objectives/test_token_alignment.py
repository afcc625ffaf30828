"""Token alignment: the transport plan, and which token of a cipher a letter finds."""

import pytest
import torch
from cipher import OnCipher, in_cipher

from xalign.data.collate import tokenize
from xalign.models.backbone import evaluating
from xalign.objectives.base import Rows
from xalign.objectives.kernels.token_alignment import best_match, token_similarities, transported

ALIGNED = ("loss=token_alignment", "loss.retention_weight=0", "loss.tau=0.1")


def found_of(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return token_similarities(one, other), one.any(-1), other.any(-1)


def drawn(*shape: int, seed: int) -> torch.Tensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(made, dim=-1)


def test_tokens_that_are_not_there_count_for_nothing() -> None:
    one, other = drawn(3, 4, 5, seed=0), drawn(2, 4, 5, seed=1)
    longer = [torch.cat([side, torch.zeros(len(side), 3, 5)], dim=1) for side in (one, other)]
    for score in (best_match, lambda *found: transported(*found, 0.05)):
        short, padded = (score(*found_of(*sides)) for sides in ((one, other), longer))
        assert torch.allclose(short, padded)


def test_the_same_tokens_in_another_order_are_all_there() -> None:
    one = drawn(1, 6, 16, seed=2)
    found = found_of(one, one[:, [3, 1, 5, 0, 2, 4]])
    assert float(best_match(*found)) == pytest.approx(1)
    assert float(transported(*found, 0.01)) == pytest.approx(1, abs=1e-3)
    # One token of the other for all of them: the best match of each is good, the plan has to move the rest.
    repeated = one[:, [0, 0, 0, 0, 0, 1]]
    found = found_of(repeated, one)
    assert float(best_match(*found)) == pytest.approx(1)
    assert float(transported(*found, 0.01)) < 0.7


def letters_found(model: OnCipher) -> float:
    """Share of the letters of held-out sentences whose most similar one of the cipher stands for them."""
    right, count = 0, 0
    with evaluating(model.backbone):
        for text in model.held_out[:20]:
            sides = []
            for language in ("en", "fr"):
                tokens = tokenize(model.backbone.tokenizer, [in_cipher(text, language)], 64)
                states = model.backbone.hidden_states(tokens, 2)[0][tokens.content_mask[0].bool()]
                sides.append(states - states.mean(0))
            cosines = torch.nn.functional.cosine_similarity(sides[0][:, None], sides[1][None], dim=-1)
            for place, found in enumerate(cosines.argmax(1).tolist()):
                right += text[place] == text[found]
                count += 1
    return right / count


@pytest.mark.parametrize("matching", ["best", "transport"])
def test_letters_find_what_stands_for_them(matching: str) -> None:
    option = f"loss.objectives.token_alignment.matching={matching}"
    assert letters_found(OnCipher((*ALIGNED, option))) < 0.4
    assert letters_found(OnCipher((*ALIGNED, option)).train(60)) > 0.7
    assert letters_found(OnCipher((*ALIGNED, option), shuffled=True).train(60)) < 0.4


def test_a_language_of_one_token_gives_a_number() -> None:
    """Less its mean it is nothing, and yet it is there."""
    objective = OnCipher(ALIGNED).module.objectives["token_alignment"]
    tokens = torch.randn(5, 24, 32, generator=torch.Generator().manual_seed(0))
    tokens[4, 1:] = 0  # the only pair of its language
    keys = {name: torch.arange(5) for name in ("source", "target")}
    rows = Rows(5, slice(0, 5), keys | {"language": torch.tensor([0, 0, 0, 0, 1])})
    sides = [tokens.flatten(1).clone().requires_grad_() for _ in range(2)]
    loss, _ = objective.loss(sides, rows)  # type: ignore[attr-defined]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(side.grad).all() for side in sides if side.grad is not None)
