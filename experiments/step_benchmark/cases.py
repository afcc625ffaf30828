"""What is compared: models, cases, systems and the targets of each case."""

from dataclasses import dataclass, field

PUBLISHED, LIBRARIES, XALIGN, RETAINING = "published", "libraries", "xalign", "xalign + retention"
LOW = "xalign, bf16 weights"

TITLES = {
    PUBLISHED: "(a) published step",
    LIBRARIES: "(b) sentence-transformers + HF Trainer",
    XALIGN: "(c) xalign",
    RETAINING: "(c) xalign, with its retention",
    LOW: "(c) xalign, weights in bf16",
}

# What xalign's config says about each model. Random ones have the shape, not the weights; their tokenizer is
# learned from the texts (`system.load`), since bytes would make other numbers of tokens.
MODELS: dict[str, tuple[str, ...]] = {
    "gemma3_270m": ("model=gemma3_270m",),
    "xglm_564m": ("model=xglm", "model.pretrained=false", "model.path=null", "model.tokenizer=bytes"),
    "llama_8b": (
        "model=llama",
        "model.name=llama_8b",
        "model.pretrained=false",
        "model.path=null",
        "model.tokenizer=bytes",
        "model.depth=32",
        "++model.architecture={model_type: llama, vocab_size: 128256, hidden_size: 4096, "
        "intermediate_size: 14336, num_hidden_layers: 32, num_attention_heads: 32, "
        "num_key_value_heads: 8, tie_word_embeddings: false}",
    ),
    "tiny": ("model=tiny",),
}

# The published objective, everything trained, for every system: they then do the same work.
COMMON = (
    "loss=afp_paper",
    "adapter=full",
    "optimizer=adamw_full",
    "languages.targets=[de]",
    "languages.unseen=[]",
    "logger=none",
    "trainer.steps=1000000",
    "trainer.checkpoint_every=1000000",
)
_ACCEPTANCE_A = ("trainer.batch_size=32", "trainer.instruction_batch_size=16")
_LONG = ("trainer.max_length=512", "trainer.instruction_max_length=512")
_RECIPE = ("loss=afp", "adapter=lora", "optimizer=adamw", "loss.layer=null")
_NO_INSTRUCTIONS, _NO_CONTRAST = "loss.instruction_weight=0", "loss.contrastive_weight=0"


@dataclass(frozen=True)
class Target:
    """What `of` shall reach: a speed or a share of memory beside `than`, or an MFU."""

    than: str | None = None
    speed: float | None = None
    memory: float | None = None
    mfu: float | None = None
    of: str = XALIGN


@dataclass(frozen=True)
class Case:
    """One comparison: what its systems are told beside `COMMON` and the model; how long texts are."""

    title: str
    layer: str
    """Aligned layer: `1`, or `half` of the depth."""
    overrides: tuple[str, ...]
    systems: tuple[str, ...] = (PUBLISHED, LIBRARIES, XALIGN)
    own: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Overrides of one system alone."""
    targets: tuple[Target, ...] = ()
    pair_words: int = 10
    """Least number of English words of a sentence: 10 give some 20 tokens."""
    instruction_words: int = 17
    """The same of an instruction's text, which comes in both languages: 17 give some 60 tokens."""


_THIRD = Target(than=PUBLISHED, memory=1 / 3)
# In float32, AdamW's weights, gradients and moments alone can be more than a third.
_LOW = {LOW: ("optimizer=adamw_bf16",)}


def _targets(than_published: float, than_libraries: float | None = None) -> tuple[Target, ...]:
    """Speeds and a third of the memory, asked of weights in float32 and in bf16 alike."""
    return tuple(
        target
        for of in (XALIGN, LOW)
        for target in (
            Target(than=PUBLISHED, speed=than_published, of=of),
            *([Target(than=LIBRARIES, speed=than_libraries, of=of)] if than_libraries else []),
            Target(than=PUBLISHED, memory=1 / 3, of=of),
        )
    )


CASES = {
    "contrastive_1": Case(
        "contrastive, layer 1",
        "1",
        (*_ACCEPTANCE_A, _NO_INSTRUCTIONS),
        targets=(Target(than=PUBLISHED, speed=8), _THIRD),
    ),
    "contrastive_half": Case(
        "contrastive, half depth",
        "half",
        (*_ACCEPTANCE_A, _NO_INSTRUCTIONS),
        systems=(PUBLISHED, LIBRARIES, XALIGN, LOW),
        own=_LOW,
        targets=_targets(2),
    ),
    "whole_1": Case(
        "whole step, layer 1",
        "1",
        _ACCEPTANCE_A,
        systems=(PUBLISHED, LIBRARIES, XALIGN, LOW),
        own=_LOW,
        targets=_targets(2.5, 1.5),
    ),
    "whole_half": Case(
        "whole step, half depth",
        "half",
        _ACCEPTANCE_A,
        systems=(PUBLISHED, LIBRARIES, XALIGN, LOW),
        own=_LOW,
        targets=_targets(1.8, 1.5),
    ),
    "recipe": Case(
        "default recipe",
        "1",
        _ACCEPTANCE_A,
        systems=(PUBLISHED, XALIGN, RETAINING),
        own={
            XALIGN: (*_RECIPE, "loss.retention_weight=0"),
            # Of corpus sentences: the model would first have to write texts of its own.
            RETAINING: (*_RECIPE, "trainer.retention_own_fraction=0"),
        },
        targets=(Target(than=PUBLISHED, speed=4), _THIRD),
    ),
    # Acceptance B: for a GPU.
    "whole_4x512": Case(
        "whole step, layer 1, batch 4 x 512",
        "1",
        (*_LONG, "trainer.batch_size=4", "trainer.instruction_batch_size=4"),
        targets=(Target(than=PUBLISHED, speed=2), _THIRD),
        pair_words=410,
        instruction_words=195,
    ),
    "instruction_lora": Case(
        "instruction branch, LoRA, batch 16 x 512",
        "1",
        (*_LONG, "trainer.instruction_batch_size=16", "adapter=lora", "optimizer=adamw", _NO_CONTRAST),
        systems=(XALIGN,),
        targets=(Target(mfu=0.45),),
        instruction_words=195,
    ),
    "instruction_full": Case(
        "instruction branch, everything trained, batch 16 x 512",
        "1",
        # Weights, gradients and moments in bf16 are 64 GB; in float32 the first two alone would be.
        (*_LONG, "trainer.instruction_batch_size=16", "optimizer=adamw_bf16", _NO_CONTRAST),
        systems=(XALIGN,),
        targets=(Target(mfu=0.45),),
        instruction_words=195,
    ),
}

ACCEPTANCE_A = ("contrastive_1", "contrastive_half", "whole_1", "whole_half", "recipe")
PLANS: dict[str, tuple[tuple[str, str], ...]] = {
    "cpu": tuple((model, case) for model in ("gemma3_270m", "xglm_564m") for case in ACCEPTANCE_A),
    "cuda": (
        *(("xglm_564m", case) for case in ("whole_4x512", *ACCEPTANCE_A)),
        *(("llama_8b", case) for case in ("instruction_lora", "instruction_full")),
    ),
}


def overrides_of(model: str, case: str, system: str, precision: str, threads: int) -> list[str]:
    """The command-line values that compose the config of a system in a case."""
    chosen = CASES[case]
    return [
        *COMMON,
        *MODELS[model],
        *chosen.overrides,
        *((f"loss.layer={chosen.layer}",) if chosen.layer != "half" else ("loss.layer=null",)),
        *(f"trainer.precision={precision}", f"trainer.threads={threads}"),
        *chosen.own.get(system, ()),
    ]
