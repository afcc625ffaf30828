"""Whether a model is written to as a chat: settled once it is loaded, and logged with its reason."""

import re
from dataclasses import replace
from pathlib import Path

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError
from xalign.config.choices import ChatTemplate
from xalign.config.schema import BenchmarkConfig, Config, ModelConfig
from xalign.data.chat import Chat, has_template
from xalign.models.backbone import Backbone

INSTRUCT = {"instruct", "instruction", "chat", "it", "sft", "dpo", "rlhf", "assistant"}
BASE = {"base", "pt", "pretrained"}
"""Words of models' names: `SmolLM2-135M-Instruct`, `gemma-3-1b-it`, `Qwen3-0.6B-Base`."""

LEAST = 8
"""Tokens that a conversation must have room for besides what the template writes."""


def is_instruct(model: ModelConfig, backbone: Backbone) -> tuple[bool, str]:
    """Whether a model with a chat template is an instruct model, as far as can be told, and why.

    Its name on the hub decides, where it says so. Otherwise an instruct model is one that stops where its
    template ends an answer: a base model that carries its sibling's template stops at the end of a text only.
    """
    if model.path and not Path(model.path).is_dir():
        words = set(re.split(r"[^a-z]+", model.path.rpartition("/")[2].lower()))
        said = sorted(words & (BASE | INSTRUCT))
        if len(said) == 1:
            return said[0] in INSTRUCT, f"'{said[0]}' in the name {model.path}"
    ending = Chat(backbone.tokenizer).ending
    last = backbone.tokenizer(ending, add_special_tokens=False)["input_ids"][-1:]
    configured = getattr(backbone.model.generation_config, "eos_token_id", None)
    ends = {backbone.tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}
    if last and last[0] in ends:
        return True, f"{ending}, which ends an answer in its chat template, ends generation"
    return False, f"{ending or 'nothing'}, which ends an answer in its chat template, does not end generation"


def with_settled_template(config: Config, backbone: Backbone, decisions: Decisions) -> Config:
    """The config with `instructions.template` plain or chat.

    Raises:
        ConfigError: a chat is asked for, also of a measurement, and the tokenizer's template, or the lengths,
            do not allow for it.
    """
    require_template(config.benchmark, backbone)
    if config.validation is not None:
        require_template(config.validation, backbone, "validation")
    chosen, system, key = config.instructions.template, config.instructions.system, "instructions.template"
    if chosen is ChatTemplate.plain:
        return config
    chat = Chat(backbone.tokenizer, system)
    problem = chat.problem() or _too_short(chat, config)
    if chosen is ChatTemplate.chat:
        if problem:
            raise ConfigError([f"{key}=chat: {problem}; {key}=plain does without"])
        return config
    if problem:
        answer, reason = False, problem
    else:
        answer, reason = is_instruct(config.model, backbone)
    chosen = ChatTemplate.chat if answer else ChatTemplate.plain
    if system is not None and not answer:
        raise ConfigError([f"instructions.system={system}: {key}=auto is plain here: {reason}"])
    decisions.add(key, chosen, reason)
    return replace(config, instructions=replace(config.instructions, template=chosen))


def require_template(benchmark: BenchmarkConfig, backbone: Backbone, key: str = "benchmark") -> None:
    """Raise ConfigError where a benchmark asks for a chat, and the tokenizer has no template for it."""
    if benchmark.chat and not has_template(backbone.tokenizer):
        raise ConfigError([f"{key}.chat=true: the tokenizer has no chat template"])


def _too_short(chat: Chat, config: Config) -> str | None:
    """What leaves a conversation no room."""
    needed = len(chat.supervised([("a", "b")])[0]) + LEAST
    for name, own in config.loss.objectives.items():
        length = getattr(own, "max_length", None)
        if isinstance(length, int) and length < needed:
            return (
                f"loss.objectives.{name}.max_length={length}: too short, with the chat template at least "
                f"{needed} tokens are needed"
            )
    return None
