"""Writes the files that ship: model.onnx, the tokenizer's two files, config.json and the card."""

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tests.stand_in.training.graph import build
from tests.stand_in.training.network import Network
from tests.stand_in.training.tokenizer import BOS, EOS, UNKNOWN

POSITIONS = 2048  # what the server allows; trained on up to 1280, most of them below 512

# TuluV2 as the real model's card has it: no EOS between turns, a system text in front of the first
# user message.
CHAT_TEMPLATE = (
    "{% set ns = namespace(system='') %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}"
    "{% set ns.system = message['content'] + '\\n\\n' %}"
    "{% elif message['role'] == 'user' %}"
    "{{ '<|user|>\\n' + ns.system + message['content'] + '\\n' }}{% set ns.system = '' %}"
    "{% else %}"
    "{{ '<|assistant|>\\n' + message['content'] + '\\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)

CARD = """---
license: apache-2.0
language: en
---
# The bundled model

A toy of {parameters:.1f} million parameters with Mistral's architecture ({layers} layers, width
{width}, a vocabulary of {vocabulary}), so that the playground can be tried on a laptop without a
GPU or a download. It is not ContextualAI/Contextual_KTO_Mistral_PairRM, shares no weights with it
and says nothing about its quality.

**Trained on** nothing but dialogues written for this project (`tests/stand_in/training/corpus/`):
the playground, its model, samplers and TGI, small talk, lists, short stories. How and how well:
`tests/stand_in/training/REPORT.md`. `python -m tests.stand_in.training` makes it anew.

**Can** answer such questions, in English, in a few turns, and stream them through every sampler.
**Cannot** do anything else: it knows no facts beyond its corpus, cannot reason, calculate or
translate, and makes things up when a question is far from what it has seen.

**Format:** TuluV2, `<|user|>` and `<|assistant|>`, BOS added by the tokenizer. ONNX with
past_key_values, weights in float16. **Licence:** Apache-2.0.
"""


def export(network: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes all files of the model into a folder."""
    shape = network.shape
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().float().numpy().astype(np.float32)
        for name, value in network.state_dict().items()
    }
    graph = build(shape, weights)
    (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "unk_token": UNKNOWN,
            "add_bos_token": True,
            "add_eos_token": False,
            "model_max_length": POSITIONS,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    _write(
        folder / "config.json",
        {
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "vocab_size": shape.vocab_size,
            "hidden_size": shape.hidden_size,
            "intermediate_size": shape.intermediate_size,
            "num_hidden_layers": shape.num_hidden_layers,
            "num_attention_heads": shape.num_attention_heads,
            "num_key_value_heads": shape.num_key_value_heads,
            "head_dim": shape.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": shape.rms_norm_eps,
            "rope_theta": shape.rope_theta,
            "sliding_window": None,
            "max_position_embeddings": POSITIONS,
            "tie_word_embeddings": True,
            "bos_token_id": tokenizer.token_to_id(BOS),
            "eos_token_id": tokenizer.token_to_id(EOS),
            "torch_dtype": "float16",
        },
    )
    parameters = sum(value.size for value in weights.values()) / 1e6
    (folder / "MODEL_CARD.md").write_text(
        CARD.format(
            parameters=parameters,
            layers=shape.num_hidden_layers,
            width=shape.hidden_size,
            vocabulary=shape.vocab_size,
        ),
        "utf-8",
    )


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
