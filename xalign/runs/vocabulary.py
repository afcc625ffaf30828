"""A model with more pieces of some languages: learnt, given rows, measured on held-out text, written."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xalign.base.errors import ConfigError, DataError, ModelError, RunError
from xalign.base.files import write_atomically
from xalign.base.languages import canonical, english_name, has_spaces
from xalign.config.choices import RowInitialisation
from xalign.config.schema import ModelConfig, VocabularyConfig
from xalign.data.parallel import Splits, load_corpus, split_corpus, wanted_languages
from xalign.data.readers.files import read_lines
from xalign.data.transforms.target_token import token_of
from xalign.models.extension import (
    Extension,
    extended,
    learnt,
    old_pieces,
    require_extensible,
    tokens_a_word,
    with_tokens,
)
from xalign.models.fingerprint import weight_hashes
from xalign.models.loading import load_model_and_tokenizer, quiet
from xalign.models.new_rows import add_rows
from xalign.models.row_initialisation import mean_rows, nearest_rows, propagated_rows
from xalign.models.word_vectors import piece_vectors
from xalign.options.plain import plain_without_short_keys
from xalign.workspace.environment import quiet_libraries, set_up_logging

log = logging.getLogger(__name__)

MARK = "xalign_vocabulary.json"
"""Beside the model: what was done to its vocabulary."""


@dataclass(frozen=True)
class Fertility:
    """Tokens a word of held-out text, a letter where a script has no spaces."""

    language: str
    before: float
    after: float
    texts: int


def extend(config: VocabularyConfig) -> None:
    """Extend the tokenizer, give the model rows for its new pieces, and write both to `output`.

    Raises:
        ConfigError, ModelError: the tokenizer cannot be extended, or the other model does not fit.
        DataError, RunError: text cannot be read; the folder holds something else.
    """
    quiet_libraries()
    set_up_logging(None)
    folder = Path(str(config.output))
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise RunError(f"output={folder}: holds something that we have not written; give a new folder")
    model, tokenizer = load_model_and_tokenizer(config.model)
    if config.size:
        require_extensible(tokenizer)
    splits = _text(config)
    pivot, targets = config.languages.pivot, config.languages.targets
    texts = [text for code in targets for text in _texts(config, splits, code)]
    extension = Extension([])
    if config.size:
        extension = learnt(tokenizer, texts, _texts(config, splits, pivot), config.size)
        if not extension.merges:
            raise ConfigError([f"languages.targets={targets}: no new pieces: its words have a token each"])
    table: Any = model.get_input_embeddings()
    first: int = table.num_embeddings
    made = extended(tokenizer, extension, first) if extension.merges else tokenizer
    added = _add(config, model, tokenizer, extension)
    if config.language_tokens:
        names = [token_of(code) for code in (pivot, *targets)]
        made = with_tokens(made, names, first + added - len(names))
    log.info("%d new pieces, rows %d to %d", added, first, first + added - 1)
    found = [_fertility(code, tokenizer, made, splits) for code in (pivot, *targets)]
    _write(config, folder, model, made, extension, found)
    _show(found, folder)


def _text(config: VocabularyConfig) -> Splits:
    corpus, report = load_corpus(config.data, config.languages.pivot, wanted_languages(config.languages))
    log.info("corpus %s: %s", corpus.name, report.summary())
    data = config.data
    return split_corpus(corpus, config.languages.pivot, data.validation_fraction, data.test_fraction)


def _texts(config: VocabularyConfig, splits: Splits, language: str) -> list[str]:
    own = [text for text in splits.train.texts(language) if text]
    files = [path for code, path in config.text.items() if canonical(code) == language]
    return own + [line for path in files for line in read_lines(Path(path)) if line.strip()]


def _add(
    config: VocabularyConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    extension: Extension,
) -> int:
    """Give the model rows for new pieces, and behind them for tokens of languages; how many."""
    rows, head_rows = _rows(config, model, tokenizer, extension)
    if config.language_tokens:
        languages = (config.languages.pivot, *config.languages.targets)
        names = [
            tokenizer(f" {english_name(code)}", add_special_tokens=False)["input_ids"] for code in languages
        ]
        ends: list[Any] = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
        rows = torch.cat([rows, mean_rows(ends[0].detach(), names)])
        if head_rows is not None:
            head_rows = torch.cat([head_rows, mean_rows(ends[1].detach(), names)])
    add_rows(model, rows, head_rows)
    return len(rows)


def _rows(
    config: VocabularyConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    extension: Extension,
) -> tuple[Tensor, Tensor | None]:
    """Rows of the new pieces for the embeddings, and for a head of its own."""
    table: Any = model.get_input_embeddings().weight
    head: Any = model.get_output_embeddings().weight
    tables = [table.detach()] if head is table else [table.detach(), head.detach()]
    match config.initialise:
        case RowInitialisation.mean:
            pieces = old_pieces(tokenizer, extension)
            made = [mean_rows(own, pieces) for own in tables]
        case RowInitialisation.nearest:
            assert config.vectors is not None
            made = _nearest(Path(config.vectors), tokenizer, extension, tables)
        case RowInitialisation.propagated:
            assert config.adapted is not None
            made = _propagated(config.adapted, tokenizer, extension, tables)
    return made[0], made[1] if len(made) > 1 else None


def _nearest(
    path: Path, tokenizer: PreTrainedTokenizerBase, extension: Extension, tables: list[Tensor]
) -> list[Tensor]:
    """By word vectors; the mean of the old pieces where a new one is in no word that has a vector."""
    old, new = piece_vectors(path, tokenizer, extension)
    old = torch.cat([old, old.new_zeros(len(tables[0]) - len(old), old.shape[1])])
    known = new.ne(0).any(dim=1)
    log.info("%d of %d new pieces have a word vector; the others begin as means", known.sum(), len(new))
    made = []
    for own in tables:
        rows = mean_rows(own, old_pieces(tokenizer, extension))
        if known.any():
            rows[known] = nearest_rows(own, old, new[known])
        made.append(rows)
    return made


def _propagated(
    path: str, tokenizer: PreTrainedTokenizerBase, extension: Extension, tables: list[Tensor]
) -> list[Tensor]:
    adapted, theirs = load_model_and_tokenizer(ModelConfig(name="adapted", path=path))
    ids: Any = theirs.convert_tokens_to_ids(extension.pieces)
    if any(own is None or own == theirs.unk_token_id for own in ids):
        raise ModelError(
            f"adapted={path}: its tokenizer lacks pieces that are new here; extend it on the same text, to "
            "the same size"
        )
    ends: list[Any] = [adapted.get_input_embeddings().weight, adapted.get_output_embeddings().weight]
    made = []
    for own, other in zip(tables, ends, strict=False):
        old = other.detach()[: len(own)]
        if old.shape != own.shape:
            raise ModelError(
                f"adapted={path}: its rows are {tuple(old.shape)} where this model's are {tuple(own.shape)}"
            )
        made.append(propagated_rows(old, own, other.detach()[torch.tensor(ids)]))
    return made


def _fertility(
    language: str, before: PreTrainedTokenizerBase, after: PreTrainedTokenizerBase, splits: Splits
) -> Fertility:
    texts = [text for text in splits.test.texts(language) if text]
    if not texts:
        raise DataError(f"no text of {english_name(language)} is held out: data.test_fraction is too small")
    spaces = has_spaces(language)
    return Fertility(
        language, tokens_a_word(before, texts, spaces), tokens_a_word(after, texts, spaces), len(texts)
    )


def _write(
    config: VocabularyConfig,
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    extension: Extension,
    found: list[Fertility],
) -> None:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with quiet():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
    content = {
        "config": plain_without_short_keys(config),
        "fertility": [asdict(own) for own in found],
        "pieces": extension.pieces,
    }
    write_atomically(part / MARK, json.dumps(content, ensure_ascii=False, indent=1))
    loaded, again = load_model_and_tokenizer(ModelConfig(name=folder.name, path=str(part)))
    if weight_hashes(loaded) != weight_hashes(model) or again.get_vocab() != tokenizer.get_vocab():
        raise RunError(f"the model as written is not the one that was extended; it is kept in {part}")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _show(found: list[Fertility], folder: Path) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Held-out text", "Tokens a word before", "after", "Texts"):
        table.add_column(name, justify="left" if name == "Held-out text" else "right")
    for own in found:
        unit = "" if has_spaces(own.language) else " (a letter)"
        table.add_row(
            f"{english_name(own.language)}{unit}", f"{own.before:.2f}", f"{own.after:.2f}", f"{own.texts:,}"
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"written: {folder}", markup=False, soft_wrap=True)
    console.print(
        f"train it: python -m xalign.run model.path={folder} adapter.new_rows=true "
        "loss=language_modelling languages.targets=[...]",
        markup=False,
        soft_wrap=True,
    )
