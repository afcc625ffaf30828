"""Multi-way alignment: any two languages find each other, not by way of the pivot alone."""

import torch
from cipher import OnCipher

from xalign.objectives.kernels.variants import several_positives

MULTIWAY = ("loss=multiway", "loss.retention_weight=0", "loss.tau=0.1")


def between(model: OnCipher) -> float:
    """Retrieval between the two ciphers, neither of which is the pivot."""
    sides = [torch.nn.functional.normalize(v - v.mean(0)) for v in map(model.vectors, ("fr", "de"))]
    return float(((sides[0] @ sides[1].T).argmax(1) == torch.arange(len(sides[0]))).float().mean())


def test_any_two_languages_find_each_other() -> None:
    model = OnCipher(MULTIWAY, ("fr", "de"))
    assert between(model) < 0.2
    model.train(120)
    assert between(model) > 0.9
    assert model.retrieval("fr") > 0.9
    # Of rows that are no translations of each other, nothing is learnt.
    assert OnCipher(MULTIWAY, ("fr", "de"), shuffled=True).train(120).retrieval("fr") < 0.2


def test_by_hand() -> None:
    """Two rows of two texts; the fourth is equal to the second, and so no negative of the first row."""
    logits = torch.zeros(4, 4, dtype=torch.float64)
    rows, texts = torch.tensor([0, 0, 1, 1]), torch.tensor([10, 11, 12, 11])
    loss, _ = several_positives(logits, rows, texts)
    # Anchors 0 and 1: the positive among 1 and 2; anchors 2 and 3: among the positive and 0, as 1 equals 3.
    assert float(loss) == float(torch.tensor(2.0, dtype=torch.float64).log())
