"""Config groups of what is trained on: languages, parallel text, instructions."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from xalign.config.choices import ChatTemplate, OnError
from xalign.config.parts import STRICT, Fraction, Natural, Positive, TransformConfig


@dataclass(frozen=True, kw_only=True)
class LanguagesConfig:
    """The pivot, the languages that are trained on, and those that are only measured."""

    __pydantic_config__ = STRICT

    pivot: str = "en"
    """Language that every pair shares; ISO 639-1/-3 codes, BCP 47 tags and FLORES codes resolve."""
    targets: list[str]
    """Languages aligned with the pivot."""
    unseen: list[str] = field(default_factory=list)
    """Languages measured before and after but never trained on."""
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Languages are drawn in proportion to (number of pairs) ** temperature: 1 as found, 0 uniform."""


@dataclass(frozen=True, kw_only=True)
class PlaceConfig:
    """Where parallel text is, and its layout."""

    __pydantic_config__ = STRICT

    format: str = "auto"
    """Layout of the corpus: the name of a file in `xalign/data/readers`, or of an entry point of the group
    `xalign.readers`; `auto`: the one that the files' names and beginnings show."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the reader of that layout."""
    path: str | None = None
    """Local file or folder."""
    packages: list[str] = field(default_factory=list)
    """Pinned packages that are read (see `xalign/sources/packages.py`)."""
    hub: str | None = None
    """Dataset id on the Hugging Face hub."""
    hub_config: str | None = None
    """Configuration of the hub dataset; `{first}-{second}`: one a pair, sorted; `{language}`: one each."""
    hub_revision: str | None = None
    """Commit or tag of the hub dataset; null takes the default branch."""
    hub_split: str = "train"
    """Split of the hub dataset."""
    columns: dict[str, str] = field(default_factory=dict)
    """Language code -> column (dots reach into nested records), of layouts with columns."""

    @property
    def is_given(self) -> bool:
        """Whether it says where the text is."""
        return bool(self.path or self.packages or self.hub)


@dataclass(frozen=True, kw_only=True)
class SourceConfig(PlaceConfig):
    """One of several corpora that are trained on together."""

    share: Annotated[float, Field(gt=0)] | None = None
    """Share of the pairs drawn in each language that it has, in any unit; null: in proportion to its pairs.
    All sources have one, or none has."""
    licence: str | None = None
    """Of the text, for the report and the model card."""


@dataclass(frozen=True, kw_only=True)
class DataConfig(PlaceConfig):
    """The parallel corpus: where it is, its layout, how it is cleaned and split."""

    name: str
    """Short name, used in reports."""
    sources: dict[str, SourceConfig] = field(default_factory=dict)
    """Name -> one of several corpora, with keys as those of `data` that say where it is, in place of them.
    Rows with the same pivot sentence are joined; `share` and `licence` are of each."""
    on_error: OnError = OnError.stop
    """At a line, record or end of a file that cannot be read: `stop` with a message that names it, or `skip`
    it, count it, and read on."""
    min_words: Natural = 3
    """Pairs whose pivot side has fewer words are dropped."""
    max_characters: Positive = 1000
    """Pairs with a longer side are dropped."""
    max_length_ratio: Annotated[float, Field(gt=1)] = 6.0
    """Pairs whose longer side has more than this many times the UTF-8 bytes of the shorter are dropped."""
    mend_encoding: bool = True
    """Whether texts that were decoded wrongly (`StraÃŸe`) are mended, by ftfy."""
    check_script: bool = True
    """Whether sides without a letter of their language's script are dropped."""
    check_language: bool = False
    """Whether sides are dropped that py3langid finds, with a probability of 0.95, in another language."""
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None = None
    """Rows are dropped whose pivot sentence shares so much of its pieces of five letters with that of another
    (Jaccard similarity, estimated by MinHash; 0.8 finds most); null: only those that are the same."""
    validation_fraction: Fraction = 0.04
    """Share of pivot sentences held out for choices made during training."""
    test_fraction: Fraction = 0.08
    """Share of pivot sentences held out for the measurement before and after."""
    max_rows: Positive | None = None
    """Keep only so many pivot sentences (after cleaning); null keeps all."""
    transforms: dict[str, TransformConfig] = field(default_factory=dict)
    """Name -> options of a random change of what is trained on, applied in this order; `kind` says which it
    is, without it the name does."""


@dataclass(frozen=True, kw_only=True)
class InstructionsConfig:
    """The instruction samples of cross-lingual instruction following (CIF)."""

    __pydantic_config__ = STRICT

    source: str = "parallel"
    """`parallel` makes translation instructions from the corpus, `bactrian` reads `path` or `hub`, `xquad`
    and `records` `path`, `mix` draws from several; other packages add theirs (entry points
    `xalign.instructions`)."""
    mix: dict[str, float] = field(default_factory=dict)
    """Source -> its share of the samples, in any unit. Of source=mix."""
    path: str | None = None
    """Folder with one file a language (JSON or JSONL: Bactrian-X layout; SQuAD layout: XQuAD); of
    source=records a file."""
    columns: dict[str, str] = field(default_factory=dict)
    """Part of an instruction (`instruction`, `input`, `output`, `language`, `id`) -> its column. Of
    source=records, which knows the usual names."""
    hub: str | None = None
    """Dataset id on the hub in Bactrian-X layout: one file or one configuration a language."""
    hub_revision: str | None = None
    """Commit or tag of the hub dataset; null takes the default branch."""
    p_cross: Fraction = 0.5
    """Probability that instruction and answer are in different languages."""
    p_swap: Fraction = 0.5
    """Probability that the pivot is the answer's side in a cross-lingual sample."""
    equals_fraction: Fraction = 0.5
    """Share of translation instructions written `{x} = {y}` instead of in words."""
    shots: Natural = 0
    """Most demonstrations before a translation instruction, as in few-shot use: from 0 to so many are drawn,
    and their answers are trained on as well; those with any come in several forms. Of source=parallel."""
    template: ChatTemplate = ChatTemplate.auto
    """How instructions, few-shot prompts of retention, and beginnings of the model's own text are written:
    `plain`, or as a `chat` by the tokenizer's own template, of which instructions supervise only what the
    assistant writes; `auto`: as a chat for an instruct model, as far as can be told."""
    system: str | None = None
    """System prompt of a chat; null: none but the template's own."""
