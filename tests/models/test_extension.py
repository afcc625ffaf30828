"""More pieces of a language: old text keeps its tokens, every text comes back, rows are as they should be."""

import json
from pathlib import Path

import pytest
import torch
from peft_adapters import plain
from small_tokenizers import LINES, TOKENIZERS, byte_level, sentencepiece_bpe
from tiny import tiny_backbone
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from xalign.base.errors import ConfigError, ModelError, RunError
from xalign.config.choices import RowInitialisation
from xalign.config.schema import ModelConfig, VocabularyConfig
from xalign.config.text import DataConfig, LanguagesConfig
from xalign.models import adapters
from xalign.models.adapters.lora import Lora
from xalign.models.adapters.new_rows import NewRows
from xalign.models.backbone import Backbone, evaluating
from xalign.models.extension import extended, learnt, old_pieces, tokens_a_word
from xalign.models.new_rows import FIRST, add_rows, first_new_row
from xalign.models.row_initialisation import mean_rows
from xalign.runs.vocabulary import MARK, extend
from xalign.training.row_adamw import RowAdamW

TURKISH = [
    "Kitapları masanın üzerine koydular ve çıktılar.",
    "Çocuklar bahçede kitaplarını okuyorlardı.",
    "Masanın üzerindeki kitapları çocuklar okuyor.",
    "Çocukların bahçesinde güzel çiçekler açıyor.",
] * 3
ENGLISH = ["The books are on the table.", "Children read their books in the garden.", *LINES]
BPE = {"byte level": byte_level, "sentencepiece": sentencepiece_bpe}


def ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


@pytest.mark.parametrize("kind", BPE)
def test_old_text_keeps_its_tokens_and_new_text_has_fewer(kind: str) -> None:
    tokenizer = BPE[kind]()
    extension = learnt(tokenizer, TURKISH, ENGLISH, 80)
    made = extended(tokenizer, extension, 1000)
    for text in ENGLISH:
        assert ids(made, text) == ids(tokenizer, text)
        assert made(text)["input_ids"] == tokenizer(text)["input_ids"]
    for text in [*TURKISH, *ENGLISH, "Kitaplar 😀 ve ÇOCUK\n\t×"]:
        assert made.decode(ids(made, text)) == tokenizer.decode(ids(tokenizer, text))
    assert tokens_a_word(made, TURKISH, True) < 0.75 * tokens_a_word(tokenizer, TURKISH, True)
    assert {made.convert_tokens_to_ids(piece) for piece in extension.pieces} == {
        *range(1000, 1000 + len(extension.pieces))
    }


@pytest.mark.parametrize("kind", BPE)
def test_a_new_piece_is_written_with_its_old_ones(kind: str) -> None:
    tokenizer = BPE[kind]()
    extension = learnt(tokenizer, TURKISH, ENGLISH, 80)
    made = extended(tokenizer, extension, 1000)
    parts = dict(zip(range(1000, 2000), old_pieces(tokenizer, extension), strict=False))
    for text in TURKISH:
        assert [old for own in ids(made, text) for old in parts.get(own, [own])] == ids(tokenizer, text)


def test_the_most_frequent_pair_comes_first_and_none_that_occurs_once() -> None:
    tokenizer = byte_level()
    extension = learnt(tokenizer, ["xqxq xq zj"], [], 80)
    assert extension.merges[0] == ("x", "q")
    assert not any("j" in piece for piece in extension.pieces)


def test_what_the_pivot_needs_is_not_learnt() -> None:
    tokenizer = byte_level()
    assert "xq" in learnt(tokenizer, ["xqxq xq"], [], 80).pieces
    assert not learnt(tokenizer, ["xqxq xq"], ["xq"], 80).pieces


def test_letters_without_a_piece_stay_bytes() -> None:
    extension = learnt(sentencepiece_bpe(), ["ქართული ქართული ენა"] * 4, [], 80)
    assert not any("<0x" in piece for piece in extension.pieces)


@pytest.mark.parametrize("kind", ["unigram (XGLM)", "slow, without offsets (ByT5)"])
def test_other_tokenizers_are_refused(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]()
    with pytest.raises(ModelError, match="only byte-pair encodings"):
        learnt(tokenizer, TURKISH, [], 10)


FAMILIES = {"llama": {}, "gpt2": {}, "llama, tied": {"tie_word_embeddings": True}}


def with_rows(family: str) -> tuple[Backbone, int]:
    """A tiny model with three new rows, that are means."""
    backbone = tiny_backbone(family.split(",")[0], **FAMILIES[family])
    model = backbone.model
    tables = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    rows = [mean_rows(own.detach(), [[5, 6], [7], [8, 9, 9]]) for own in tables]
    tied = tables[0] is tables[1]
    return backbone, add_rows(model, rows[0], None if tied else rows[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_added_rows_leave_the_old_ones_alone(family: str) -> None:
    before = tiny_backbone(family.split(",")[0], **FAMILIES[family])
    backbone, first = with_rows(family)
    assert first_new_row(backbone.model) == first == 260
    text = torch.tensor([[5, 9, 100, 42]])
    with torch.no_grad():
        old, new = before.model(text).logits, backbone.model(text).logits
        assert torch.equal(old, new[..., :first])
        # A row that is a mean of others has the mean of their logits.
        torch.testing.assert_close(new[..., first], (old[..., 5] + old[..., 6]) / 2, rtol=1e-4, atol=1e-5)
        own = backbone.model.get_input_embeddings()(torch.tensor([first + 2]))
        parts = before.model.get_input_embeddings()(torch.tensor([8, 9, 9])).mean(dim=0, keepdim=True)
        torch.testing.assert_close(own, parts)


def steps(backbone: Backbone, count: int = 3) -> None:
    """Some steps of language modelling on a text of old and new pieces."""
    optimizer = RowAdamW(
        [p for p in backbone.parameters() if p.requires_grad], lr=0.01, betas=(0.9, 0.95), eps=1e-8
    )
    text = torch.tensor([[5, 260, 100, 262, 42, 261, 7]])
    for _ in range(count):
        optimizer.zero_grad()
        backbone.model(input_ids=text, labels=text).loss.backward()
        optimizer.step()


@pytest.mark.parametrize("family", FAMILIES)
def test_only_new_rows_are_trained(family: str, tmp_path: Path) -> None:
    backbone, first = with_rows(family)
    before = {name: p.detach().clone() for name, p in backbone.model.named_parameters()}
    adapter = adapters.attach(backbone, NewRows.Config(method="new_rows"))
    reference = adapter.reference()
    steps(backbone)
    for name, parameter in backbone.model.named_parameters():
        moved = (parameter != before[name]).flatten(1).any(dim=1) if parameter.ndim > 1 else None
        if parameter.shape[0] == first + 3 and parameter.ndim == 2:
            assert moved is not None
            assert not moved[:first].any(), name
            assert moved[first:].all(), name
        else:
            assert torch.equal(parameter, before[name]), name
    with reference.running() as former:
        for name, parameter in former.model.named_parameters():
            assert torch.equal(parameter, before[name]), name
    plain_folder = tmp_path / "model"
    backbone.model.save_pretrained(plain_folder)
    text = torch.tensor([[5, 260, 100]])
    with torch.no_grad():
        assert torch.equal(plain(plain_folder)(text).logits, backbone.model(text).logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_and_low_rank_adapters_are_held_to_the_model_before_both(family: str) -> None:
    backbone, _ = with_rows(family)
    text = torch.tensor([[5, 260, 100, 262]])
    with evaluating(backbone):
        before = backbone.model(text).logits.clone()
    adapter = adapters.attach(backbone, Lora.Config(method="lora", r=4, alpha=8, new_rows=True))
    reference = adapter.reference()
    steps(backbone)
    with evaluating(backbone):
        assert (backbone.model(text).logits - before).abs().max() > 1e-3
    with reference.running() as former:
        torch.testing.assert_close(former.model(text).logits, before)
    head = reference.own_head()
    assert head is not None
    assert torch.equal(head[0], with_rows(family)[0].model.get_output_embeddings().weight)


def test_a_model_without_new_rows_is_told_what_adds_them() -> None:
    with pytest.raises(ConfigError, match=r"adapter\.method=new_rows: the model has no new rows; python"):
        adapters.attach(tiny_backbone("llama"), NewRows.Config(method="new_rows"))


def saved(folder: Path) -> Path:
    """A tiny model with a byte-level tokenizer, and a parallel text."""
    tokenizer = byte_level()
    backbone = tiny_backbone("llama", vocab_size=len(tokenizer))
    backbone.model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    words = ["kitap", "masa", "çocuk", "bahçe", "çiçek", "güzel", "okul", "ağaç"]
    rows = [
        f"the thing number {n} is here\t"
        f"{words[n % 8]}lar ve {words[(n + 3) % 8]}ların {words[(3 * n + 1) % 8]}ı {n}"
        for n in range(200)
    ]
    (folder / "p.tsv").write_text("en\ttr\n" + "\n".join(rows) + "\n")
    return folder


def config(folder: Path, **keys: object) -> VocabularyConfig:
    return VocabularyConfig(
        model=ModelConfig(name="tiny", path=str(folder / "model")),
        languages=LanguagesConfig(targets=["tr"]),
        data=DataConfig(name="x", path=str(folder / "p.tsv"), test_fraction=0.2),
        output=str(folder / "out"),
        **{"size": 60, **keys},  # type: ignore[arg-type]
    )


def test_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extend(config(saved(tmp_path)))
    found = json.loads((tmp_path / "out" / MARK).read_text())
    english, turkish = found["fertility"]
    assert english["before"] == english["after"]
    assert turkish["after"] < 0.7 * turkish["before"]
    assert "Turkish" in capsys.readouterr().out
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert getattr(model.config, FIRST) + len(found["pieces"]) == model.get_input_embeddings().num_embeddings
    assert tokenizer.decode(tokenizer("çocuklar ve kitapların", add_special_tokens=False)["input_ids"]) == (
        "çocuklar ve kitapların"
    )
    extend(config(tmp_path))  # what we have written is written anew
    (tmp_path / "out" / MARK).unlink()
    with pytest.raises(RunError, match="holds something that we have not written"):
        extend(config(tmp_path))


def test_rows_nearest_by_word_vectors(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "vectors.txt").write_text("3 2\nthing 1 0\nkitap 1 0.01\nçocuk 0 1\n")
    extend(config(tmp_path, initialise=RowInitialisation.nearest, vectors=str(tmp_path / "vectors.txt")))
    found = json.loads((tmp_path / "out" / MARK).read_text())
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    extend(config(tmp_path))
    means = AutoModelForCausalLM.from_pretrained(tmp_path / "out").get_input_embeddings().weight
    table = model.get_input_embeddings().weight
    first = getattr(model.config, FIRST)
    differ = {
        piece for piece, row, mean in zip(found["pieces"], table[first:], means[first:], strict=True)
        if not torch.equal(row, mean)
    }  # fmt: skip
    assert any("kitap".startswith(piece.removeprefix("Ġ")) for piece in differ)
    assert len(differ) < len(found["pieces"])


def test_rows_propagated_from_a_trained_model(tmp_path: Path) -> None:
    extend(config(saved(tmp_path)))
    (tmp_path / "out").rename(tmp_path / "adapted")
    extend(config(tmp_path, initialise=RowInitialisation.propagated, adapted=str(tmp_path / "adapted")))
    # The two models have the same old rows: the map between them is the identity.
    tables = [
        AutoModelForCausalLM.from_pretrained(tmp_path / name).get_input_embeddings().weight
        for name in ("adapted", "out")
    ]
    torch.testing.assert_close(tables[0], tables[1], rtol=1e-3, atol=1e-4)
    (tmp_path / "p.tsv").write_text((tmp_path / "p.tsv").read_text().replace("kitap", "defter"))
    with pytest.raises(ModelError, match="lacks pieces that are new here"):
        extend(config(tmp_path, initialise=RowInitialisation.propagated, adapted=str(tmp_path / "adapted")))


def test_tokens_of_languages(tmp_path: Path) -> None:
    """They come behind the pieces, begin as the mean of the name, and are one token in any text."""
    extend(config(saved(tmp_path), language_tokens=True))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    pieces = json.loads((tmp_path / "out" / MARK).read_text())["pieces"]
    first = getattr(model.config, FIRST) + len(pieces)
    assert tokenizer.convert_tokens_to_ids(["<2en>", "<2tr>"]) == [first, first + 1]
    assert len(tokenizer) == model.get_input_embeddings().num_embeddings == first + 2
    assert ids(tokenizer, "<2tr> kitap")[0] == first + 1
    table = model.get_input_embeddings().weight
    old = AutoTokenizer.from_pretrained(tmp_path / "model")
    torch.testing.assert_close(table[first + 1], table[ids(old, " Turkish")].mean(dim=0))


def test_tokens_of_languages_alone_for_any_tokenizer(tmp_path: Path) -> None:
    tokenizer = TOKENIZERS["unigram (XGLM)"]()
    backbone = tiny_backbone("llama", vocab_size=len(tokenizer))
    saved(tmp_path)
    backbone.model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    extend(config(tmp_path, language_tokens=True, size=0))
    again = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert again.convert_ids_to_tokens(ids(again, "<2en>")) == ["<2en>"]
    for text in ("The house is big.", "Das Haus"):
        assert ids(again, text) == ids(tokenizer, text)
