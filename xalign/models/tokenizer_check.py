"""Whether a tokenizer can write text at all.

Where transformers cannot read a tokenizer's file it may make one of nothing but special tokens, without a
word: every text becomes unknown tokens, and a model would be trained on them.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from xalign.base.errors import ModelError
from xalign.models.tokenizer_files import problem_of_tokenizer

MOST_LOST = 0.5
"""Share of a language's letters that may be lost."""
SAMPLE = 50
"""Texts of a language that are looked at."""


def require_tokens(tokenizer: PreTrainedTokenizerBase, where: str, folder: Path) -> None:
    """See to it that there are tokens for text; `folder` is where the tokenizer was read.

    Raises:
        ModelError: all tokens are special ones; says which file would be needed.
    """
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    if not set(tokenizer.get_vocab().values()) <= special:
        return
    needed = "tokenizer.json is needed beside the model, or model.tokenizer=... for that of another copy"
    raise ModelError(
        f"{where}: the tokenizer has {len(tokenizer)} tokens, all of them special: it can write no text; "
        f"{problem_of_tokenizer(folder) or needed}"
    )


def require_written(tokenizer: PreTrainedTokenizerBase, language: str, texts: Iterable[str]) -> None:
    """See to it that the tokens of a language that is trained on are its texts.

    Raises:
        ModelError: most of their letters are lost.
    """
    share = lost_share(tokenizer, islice(texts, SAMPLE))
    if share > MOST_LOST:
        raise ModelError(
            f"the model's tokenizer cannot write '{language}': {share:.0%} of its letters are lost in "
            f"{tokenizer.unk_token or 'nothing'}, from which nothing can be learnt; leave the language out, "
            "or take a model that knows its script"
        )


def lost_share(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> float:
    """Share of letters and digits that are not there when texts are written back; case does not count."""
    wanted, lost = 0, 0
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        letters = _letters(text)
        lost += (letters - _letters(str(tokenizer.decode(ids, skip_special_tokens=True)))).total()
        wanted += letters.total()
    return lost / wanted if wanted else 0.0


def _letters(text: str) -> Counter[str]:
    plain = unicodedata.normalize("NFKD", text).casefold()
    return Counter(letter for letter in plain if letter.isalnum())


def begins_with_special(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether texts begin with a special token, such as that of the beginning of a sequence."""
    ids = tokenizer("a")["input_ids"]
    return bool(ids) and ids[0] in tokenizer.all_special_ids
