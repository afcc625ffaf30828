import pytest
import torch
from torch import Tensor

from xalign.evaluation.engine.similarity import (
    blockers,
    distinct_pairs,
    only_blocker,
    retrieval_hits,
    similarities,
)
from xalign.evaluation.tasks.mexa import mexa_blockers


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def vectors(seed: int, ties: bool) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(12, 3, 5, generator=generator)
    y = x + 0.7 * torch.randn(12, 3, 5, generator=generator) + 1.5
    if ties:
        y[3], x[7], y[7], y[8] = y[2], x[6], y[6], y[6]
    return x, y


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_hits_equal_a_plain_double_loop(seed: int, ties: bool, centred: bool) -> None:
    x, y = vectors(seed, ties)
    n, layers, _ = x.shape
    some = []
    for layer, similarity in zip(range(layers), similarities(x, y, centred=centred), strict=True):
        a, b = x[:, layer].double(), y[:, layer].double()
        if centred:
            a, b = a - sum(a) / n, b - sum(b) / n
        s = [[round(cosine(a[i], b[j]), 9) for j in range(n)] for i in range(n)]
        forward = [all(s[i][i] > s[i][j] for j in range(n) if j != i) for i in range(n)]
        backward = [all(s[i][i] > s[j][i] for j in range(n) if j != i) for i in range(n)]
        got_forward, got_backward = retrieval_hits(similarity)
        assert got_forward.tolist() == forward
        assert got_backward.tolist() == backward
        mexa = ~mexa_blockers(similarity).any(1)
        assert mexa.tolist() == [f and b for f, b in zip(forward, backward, strict=True)]
        some += [*forward, *backward]
    assert any(some)
    assert not all(some)


@pytest.mark.parametrize("centred", [False, True])
def test_representations_that_are_all_alike_score_nothing(centred: bool) -> None:
    same = torch.randn(1, 2, 640).expand(101, 2, 640)
    for similarity in similarities(same, same, centred=centred):
        assert not torch.stack(retrieval_hits(similarity)).any()
        assert mexa_blockers(similarity).any(1).all()


def test_the_only_blocker_is_the_one_without_which_there_is_a_hit() -> None:
    similarity = torch.tensor([[0.5, 0.6, 0.1], [0.5, 0.5, 0.5], [0.1, 0.2, 0.5]])
    forward, backward = blockers(similarity)
    assert forward.int().tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    assert backward.int().tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert only_blocker(forward).tolist() == [1, -1, -1]  # the second has two, the third none
    assert only_blocker(backward).tolist() == [1, 0, 1]
    assert only_blocker(mexa_blockers(similarity)).tolist() == [1, -1, 1]


def test_what_is_no_number_is_no_hit() -> None:
    similarity = torch.full((3, 3), torch.nan)
    assert not torch.stack(retrieval_hits(similarity)).any()


def test_centring_undoes_a_language_offset() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 1, 16, generator=generator)
    y = 30 * torch.randn(1, 1, 16, generator=generator) - x.flip(2) * 0 + x + 0.01
    raw, centred = (next(similarities(x, y, centred=c)) for c in (False, True))
    assert torch.stack(retrieval_hits(raw)).float().mean() < 0.7
    assert torch.stack(retrieval_hits(centred)).all()


def test_pairs_with_a_side_seen_before_are_dropped() -> None:
    pairs = [
        ("Open", "Öffnen"),
        ("Shut", "Zu"),
        ("open ", "Auf"),
        ("Go", "ÖFFNEN"),
        ("Auf", "Los"),
        ("X", "Auf"),
    ]
    # The last is dropped too: its target was already the translation of something else.
    assert [index for index, _ in distinct_pairs(pairs)] == [0, 1, 4]
