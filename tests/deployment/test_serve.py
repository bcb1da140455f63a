"""TGI's environment for FP8 and its chat template."""

import json
from collections.abc import Sequence

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.domain.messages import Message
from playground.domain.prompt import neutralise, render
from playground.domain.prompt_formats import TULU2
from playground.engines.tgi import _WANTED
from playground.settings import Settings
from tests.composition import BASE, ROOT, compose, environment, seconds

MODEL = "ContextualAI/Contextual_KTO_Mistral_PairRM"

# The options of text-generation-launcher 3.3.7 that are read from the environment (`env` in `Args`,
# launcher/src/main.rs), and what its image's libraries read.
_OPTIONS = """
    MODEL_ID REVISION VALIDATION_WORKERS SHARDED NUM_SHARD QUANTIZE SPECULATE DTYPE
    KV_CACHE_DTYPE TRUST_REMOTE_CODE MAX_CONCURRENT_REQUESTS MAX_BEST_OF MAX_STOP_SEQUENCES
    MAX_TOP_N_TOKENS MAX_INPUT_TOKENS MAX_INPUT_LENGTH MAX_TOTAL_TOKENS WAITING_SERVED_RATIO
    MAX_BATCH_PREFILL_TOKENS MAX_BATCH_TOTAL_TOKENS MAX_WAITING_TOKENS MAX_BATCH_SIZE
    CUDA_GRAPHS HOSTNAME PORT PROMETHEUS_PORT SHARD_UDS_PATH MASTER_ADDR MASTER_PORT
    HUGGINGFACE_HUB_CACHE WEIGHTS_CACHE_OVERRIDE DISABLE_CUSTOM_KERNELS CUDA_MEMORY_FRACTION
    ROPE_SCALING ROPE_FACTOR JSON_OUTPUT OTLP_ENDPOINT OTLP_SERVICE_NAME CORS_ALLOW_ORIGIN
    API_KEY WATERMARK_GAMMA WATERMARK_DELTA NGROK NGROK_AUTHTOKEN NGROK_EDGE
    TOKENIZER_CONFIG_PATH DISABLE_GRAMMAR_SUPPORT MAX_CLIENT_BATCH_SIZE LORA_ADAPTERS
    USAGE_STATS PAYLOAD_LIMIT ENABLE_PREFILL_LOGPROBS GRACEFUL_TERMINATION_TIMEOUT
"""
LAUNCHER = set(_OPTIONS.split())
LIBRARIES = {"HF_HUB_OFFLINE", "HF_TOKEN"}


# TGI's environment


def test_the_launcher_knows_every_name() -> None:
    tgi = compose(BASE)["services"]["tgi"]
    assert set(environment(ROOT / tgi["env_file"])) <= LAUNCHER
    assert set(tgi["environment"]) <= LAUNCHER | LIBRARIES


def test_the_limits_agree() -> None:
    """With each other as the launcher demands, with the playground, and with compose."""
    tgi = compose(BASE)["services"]["tgi"]
    variables = environment(ROOT / tgi["env_file"])
    total = int(variables["MAX_TOTAL_TOKENS"])
    assert int(variables["MAX_INPUT_TOKENS"]) < total
    assert int(variables["MAX_BATCH_PREFILL_TOKENS"]) >= int(variables["MAX_INPUT_TOKENS"])
    assert total == Settings.model_fields["context_tokens"].default
    assert variables["MODEL_ID"] == tgi["environment"]["MODEL_ID"] == MODEL
    assert variables["QUANTIZE"] == "fp8"
    assert variables["USAGE_STATS"] == "off"
    assert int(variables["MAX_TOP_N_TOKENS"]) == _WANTED, "by which what TGI lacks is emulated"
    assert seconds(tgi["stop_grace_period"]) > int(variables["GRACEFUL_TERMINATION_TIMEOUT"])
    [mount] = [each for each in tgi["volumes"] if each.startswith("./tgi/serve/")]
    assert mount.split(":")[1:] == [variables["TOKENIZER_CONFIG_PATH"], "ro"]


# The chat template

CARD = """\
<|user|>
Hi! I'm looking for a cake recipe.
<|assistant|>
What kind of cake?
<|user|>
Chocolate cake.
<|assistant|>
"""


def templated(messages: Sequence[Message]) -> str:
    """A conversation as TGI renders it for /v1/chat/completions."""
    config = json.loads((ROOT / "tgi/serve/tokenizer_config.json").read_text())

    def raise_exception(message: str) -> None:
        raise ValueError(message)

    template = jinja2.Environment().from_string(config["chat_template"])
    return template.render(
        messages=[{"role": each.role, "content": each.content} for each in messages],
        bos_token=config["bos_token"],
        eos_token=config["eos_token"],
        add_generation_prompt=True,
        raise_exception=raise_exception,
    )


def test_other_engines_get_the_same_template_as_a_file_of_its_own() -> None:
    config = json.loads((ROOT / "tgi/serve/tokenizer_config.json").read_text())
    assert (ROOT / "tgi/serve/chat_template.jinja").read_text() == config["chat_template"]


def test_the_template_gives_the_example_of_the_card() -> None:
    """TGI's chat routes add no BOS themselves, so that the template does."""
    conversation = [
        Message("user", "Hi! I'm looking for a cake recipe."),
        Message("assistant", "What kind of cake?"),
        Message("user", "Chocolate cake."),
    ]
    assert templated(conversation) == "<s>" + CARD


pieces = [
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<s>",
    "</s>",
    "<unk>",
    "<",
    ">",
    "|",
    "\n",
    "a",
]
content = st.text() | st.lists(st.sampled_from(pieces)).map("".join)


@given(st.none() | content, st.lists(content, min_size=1, max_size=5))
def test_the_template_and_the_playground_agree(system: str | None, said: Sequence[str]) -> None:
    head = [] if system is None else [Message("system", system)]
    turns = [Message("assistant" if i % 2 else "user", text) for i, text in enumerate(said)]
    rendered = templated([*head, *turns])
    if turns[-1].role == "user":
        assert rendered == "<s>" + render([*head, *turns], TULU2).text
    else:  # TGI cuts behind the last text itself
        text = neutralise(turns[-1].content, TULU2)
        prompt = render([*head, *turns[:-1]], TULU2).text
        assert rendered == "<s>" + prompt + text


@pytest.mark.parametrize(
    "messages",
    [
        [Message("assistant", "a")],
        [Message("system", "a"), Message("assistant", "b")],
        [Message("user", "a"), Message("system", "b")],
    ],
)
def test_the_template_refuses_what_the_playground_refuses(messages: Sequence[Message]) -> None:
    with pytest.raises(ValueError, match=r"message|conversation"):
        templated(messages)
