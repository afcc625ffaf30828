"""Chat templates of the kinds that real models have, for the byte tokenizer."""

from transformers import PreTrainedTokenizerBase

from xalign.models.byte_tokenizer import byte_tokenizer

CHATML = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '>' + message['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant>' }}{% endif %}"
)
"""As SmolLM2's and Qwen2.5's: marks around every message, a line break after each."""

OWN_SYSTEM = (
    "{{ bos_token }}{% if messages[0]['role'] != 'system' %}{{ '<|system>Be brief.<eos>\n' }}{% endif %}"
    + CHATML.removeprefix("{{ bos_token }}")
)
"""The same with a system prompt of its own, where none is given."""

GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('by turns') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<t>' + role + '\n' + message['content'] | trim + '</t>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<t>model\n' }}{% endif %}"
)
"""Without a system role, content trimmed, a line break before every content, another mark than the end of
text."""

LLAMA2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
"""No mark of where an answer begins, a space before it, `<bos>` at every turn."""

THINKING = (
    "{{ bos_token }}"
    "{% set last = (messages | selectattr('role', 'equalto', 'user') | list | length) * 2 - 1 %}"
    "{% for message in messages %}{% set think = '<think></think>' if message['role'] == 'assistant'"
    " and loop.index0 == last else '' %}"
    "{{ '<|' + message['role'] + '>' + think + message['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant>' }}{% endif %}"
)
"""As Qwen3's: something before the last answer alone."""

GENERATION = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{{ '<|assistant>' }}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ '<|' + message['role'] + '>' + message['content'] + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant>' }}{% endif %}"
)
"""The answers marked."""

TEMPLATES = {
    "chatml": CHATML,
    "own system": OWN_SYSTEM,
    "gemma": GEMMA,
    "llama 2": LLAMA2,
    "thinking": THINKING,
    "generation": GENERATION,
}

UNTELLABLE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' and loop.last %}{{ 'Question: ' }}{% endif %}"
    "{{ message['content'] + '\n' }}{% endfor %}"
)
"""Writes a question otherwise once it is answered."""


def chat_tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerBase:
    """The byte tokenizer with a chat template."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return tokenizer
