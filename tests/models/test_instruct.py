"""Whether a model is written to as a chat: how it is told, what is said, what is refused."""

import pytest
from chat_templates import CHATML, GEMMA, UNTELLABLE
from tiny import tiny_backbone
from transformers import GenerationConfig

from xalign.base.decisions import Decisions
from xalign.base.errors import ConfigError
from xalign.cli.command_line import compose_config
from xalign.cli.validation import resolve
from xalign.config.choices import ChatTemplate
from xalign.config.schema import Config, ModelConfig
from xalign.models.backbone import Backbone
from xalign.models.instruct import is_instruct, with_settled_template

LONG = "trainer.instruction_max_length=256"


def backbone_of(template: str | None, ends: list[int] | None = None) -> Backbone:
    backbone = tiny_backbone("llama")
    backbone.tokenizer.chat_template = template
    if ends is not None:
        backbone.model.generation_config = GenerationConfig(eos_token_id=ends)
    return backbone


def config_of(*overrides: str) -> Config:
    return resolve(compose_config("config", ["experiment=quick", LONG, *overrides]), Config)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", True),
        ("google/gemma-3-1b-it", True),
        ("meta/Llama-2-7b-chat-hf", True),
        ("Qwen/Qwen3-0.6B-Base", False),
        ("google/gemma-3-1b-pt", False),
        ("somebody/edition", False),  # no word of either: the template decides
    ],
)
def test_a_name_on_the_hub_says_it(path: str, answer: bool) -> None:
    found, reason = is_instruct(ModelConfig(name="m", path=path), backbone_of(GEMMA))
    assert found == answer
    assert ("in the name" in reason) == ("edition" not in path)


def test_an_instruct_model_stops_where_an_answer_ends() -> None:
    model = ModelConfig(name="chat-it", path=".")  # a folder's name says nothing
    assert is_instruct(model, backbone_of(CHATML)) == (
        True,
        "<eos>, which ends an answer in its chat template, ends generation",
    )
    # `</t>` is no end of a text, unless generation is configured to end there.
    found, reason = is_instruct(model, backbone_of(GEMMA))
    assert not found
    assert reason == "</t>, which ends an answer in its chat template, does not end generation"
    backbone = backbone_of(GEMMA)
    last = backbone.tokenizer("</t>", add_special_tokens=False)["input_ids"][-1]
    assert is_instruct(model, backbone_of(GEMMA, [2, last]))[0]


@pytest.mark.parametrize(
    ("template", "chosen", "reason"),
    [
        (CHATML, ChatTemplate.chat, "<eos>, which ends an answer in its chat template, ends generation"),
        (None, ChatTemplate.plain, "the tokenizer has no chat template"),
        (
            GEMMA,
            ChatTemplate.plain,
            "</t>, which ends an answer in its chat template, does not end generation",
        ),
    ],
)
def test_auto_is_decided_with_a_reason(template: str | None, chosen: ChatTemplate, reason: str) -> None:
    decisions = Decisions()
    settled = with_settled_template(config_of(), backbone_of(template), decisions)
    assert settled.instructions.template is chosen
    assert decisions.made == [{"what": "instructions.template", "value": str(chosen), "reason": reason}]


def test_what_is_asked_for_is_not_decided() -> None:
    decisions = Decisions()
    for template in ("plain", "chat"):
        config = config_of(f"instructions.template={template}")
        assert with_settled_template(config, backbone_of(CHATML), decisions) == config
    assert decisions.made == []


@pytest.mark.parametrize(
    ("overrides", "template", "message"),
    [
        (
            ["instructions.template=chat"],
            None,
            "instructions.template=chat: the tokenizer has no chat template;",
        ),
        (["instructions.template=chat"], UNTELLABLE, "writes a question otherwise once it is answered"),
        (
            ["instructions.template=chat", 'instructions.system="Be brief"'],
            GEMMA,
            "instructions.template=chat: the tokenizer's chat template refuses a conversation: no system",
        ),
        (['instructions.system="Be brief"'], None, "instructions.system=Be brief: .*auto is plain here"),
        (
            ["instructions.template=chat", LONG.replace("256", "24")],
            CHATML,
            "max_length=24: too short, with the",
        ),
        (["benchmark.chat=true"], None, "benchmark.chat=true: the tokenizer has no chat template"),
    ],
)
def test_what_cannot_be_is_one_message(overrides: list[str], template: str | None, message: str) -> None:
    config = config_of("model.tokenizer=gemma3_270m", *overrides)  # of `bytes` it is known without loading
    with pytest.raises(ConfigError, match=message):
        with_settled_template(config, backbone_of(template), Decisions())


def test_a_system_prompt_is_of_a_chat() -> None:
    with pytest.raises(ConfigError, match=r"instructions.system=Hi: of a chat; instructions.template=plain"):
        config_of("instructions.system=Hi", "instructions.template=plain")
