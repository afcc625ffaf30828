"""Which files of a model's repository are fetched, and what is said of one that is no model."""

from xalign.models.repository import problem_of_files, small_files

FILES = [
    ".gitattributes",
    "README.md",
    "additional_chat_templates/tool_use.jinja",
    "chat_template.jinja",
    "config.json",
    "configuration_own.py",
    "flax_model.msgpack",
    "flax_model.msgpack.index.json",
    "generation_config.json",
    "merges.txt",
    "model-00001-of-00002.safetensors",
    "model.safetensors.index.json",
    "onnx/config.json",
    "pytorch_model.bin",
    "requirements.txt",
    "sentencepiece.bpe.model",
    "tf_model.h5",
    "tokenizer.json",
    "vocab.json",
]


def test_configuration_and_tokenizer_without_weights() -> None:
    wanted = [
        "additional_chat_templates/tool_use.jinja",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "tokenizer.json",
        "vocab.json",
    ]
    assert small_files(FILES, code=False) == wanted
    assert set(small_files(FILES, code=True)) - set(wanted) == {"configuration_own.py"}


def test_what_is_no_model() -> None:
    assert problem_of_files(FILES) is None
    assert problem_of_files(["adapter_config.json"]) is None  # another's to judge
    assert "no config.json in this repository" in str(problem_of_files(["README.md"]))
    assert "such as a-Q4_0.gguf" in str(problem_of_files(["a-Q4_0.gguf", "README.md"]))
    assert "no weights that are read" in str(problem_of_files(["config.json", "tf_model.h5"]))
