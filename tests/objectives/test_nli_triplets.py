"""Entailment triplets: how they are read, and that what follows comes nearer than what contradicts."""

import json
from pathlib import Path

import pytest
import torch
from cipher import OnCipher, in_cipher, sentences
from torch.nn.functional import cosine_similarity

from xalign.base.errors import ConfigError, DataError
from xalign.config.choices import Pooling
from xalign.data.collate import tokenize
from xalign.data.nli import triplets_of
from xalign.models.backbone import evaluating

TRIPLETS = ("loss=nli_triplets", "loss.retention_weight=0", "loss.tau=0.1")


def written(folder: Path, swapped: bool = False) -> Path:
    """Of each sentence its cipher follows, and another's, backwards, contradicts."""
    texts = sentences(400)[50:]
    labels = ["contradiction", "entailment"] if swapped else ["entailment", "contradiction"]
    lines = ["language\tgold_label\tsentence1\tsentence2"]
    for text in texts:
        lines.append(f"en\t{labels[0]}\t{text}\t{in_cipher(text, 'fr')}")
        lines.append(f"en\t{labels[1]}\t{text}\t{in_cipher(text, 'fr')[::-1]}")
        lines.append(f"en\tneutral\t{text}\twhatever")
    folder.mkdir(exist_ok=True)
    (folder / "xnli.tsv").write_text("\n".join(lines) + "\n")
    return folder


def told_apart(model: OnCipher) -> float:
    """Share of held-out sentences that are nearer to their cipher than to its reverse."""
    own = model.vectors("en")
    with evaluating(model.backbone):
        sides = [
            model.backbone.represent(tokenize(model.backbone.tokenizer, list(texts), 64), 2, Pooling.mean)
            for texts in zip(
                *((in_cipher(text, "fr"), in_cipher(text, "fr")[::-1]) for text in model.held_out),
                strict=True,
            )
        ]
    near, far = (cosine_similarity(own, side) for side in sides)
    return float((near > far).to(torch.float64).mean())


def test_what_follows_comes_nearer_than_what_contradicts(tmp_path: Path) -> None:
    right, wrong = (
        OnCipher(
            (*TRIPLETS, f"loss.objectives.nli_triplets.path={written(tmp_path / str(swapped), swapped)}")
        )
        for swapped in (False, True)
    )
    assert told_apart(right) == pytest.approx(0.5, abs=0.2)
    assert told_apart(right.train(150)) > 0.9
    assert told_apart(wrong.train(150)) < 0.1


def test_premises_with_both_are_triplets(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    rows = [
        json.dumps({"premise": "p", "hypothesis": text, "label": label})
        for text, label in (("e", 0), ("n", 1), ("c", 2))
    ]
    other = '{"premise": "q", "hypothesis": "f", "label": 0}'
    file.write_text("\n".join([*rows, other]))
    with pytest.raises(DataError, match="1 premises with an entailment and a contradiction"):
        triplets_of(file)
    file.write_text("\n".join([*rows, other, other.replace("0", "2").replace("f", "g")]))
    assert triplets_of(file) == [("p", "e", "c"), ("q", "f", "g")]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss.objectives.nli_triplets.path=None: required"):
        OnCipher(TRIPLETS)
    with pytest.raises(ConfigError, match="path=/nowhere: is not there"):
        OnCipher((*TRIPLETS, "loss.objectives.nli_triplets.path=/nowhere"))
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=r"a.csv: no columns premise, hypothesis, label .*there are x, y"):
        triplets_of(tmp_path)


@pytest.mark.parametrize("damaged", ['{"premise": "p", "label": 0}', "null", '{"premise": null}'])
def test_a_damaged_record_is_named(damaged: str, tmp_path: Path) -> None:
    good = json.dumps({"premise": "p", "hypothesis": "e", "label": "Entailment"})
    (tmp_path / "set.jsonl").write_text(f"{good}\n{damaged}\n")
    with pytest.raises(DataError, match=r"set.jsonl, record 2: must have premise, hypothesis, label"):
        triplets_of(tmp_path)
