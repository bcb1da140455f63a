"""What to do about an engine, in the words of its kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from playground.settings import EngineChoice


@dataclass(frozen=True, slots=True)
class Advice:
    """The remedies of one kind of engine, each a sentence or more.

    Attributes:
        label: What it is called.
        closed: Nothing listens on its port.
        loading: It is there, and not ready.
        stranger: What answers is something else.
        model: It has another model than the page is for.
        context: Its context is shorter than the page's.
        stops: It takes too few stop sequences.
        template: Its own chat template writes otherwise.
        key: It wants another key.
        memory: Its memory is full.
        log: Where the reason stands that it does not tell.
    """

    label: str
    closed: str
    loading: str
    stranger: str
    model: str
    context: str
    stops: str
    template: str
    key: str
    memory: str
    log: str


_MODEL_ID: Final = "PLAYGROUND_MODEL_ID (in compose MODEL_ID)"
_SET_KEY: Final = "Set PLAYGROUND_ENGINE_API_KEY, or PLAYGROUND_ENGINE_API_KEY_FILE, to "
_OWN_PROMPTS: Final = (
    "The page writes its prompts itself. If the model was trained on that other format, say so "
    "with PLAYGROUND_PROMPT_FORMAT; if not, this concerns only who asks /v1/chat/completions"
)
_LOWER: Final = "The lower one counts: "
_ITS_LOG: Final = "Its log has the reason, and cannot be read from here."
_ROOT: Final = "PLAYGROUND_ENGINE_URL must be its root, without the path of a route."

_UNKNOWN: Final = Advice(
    label="the engine",
    closed=(
        "Start the engine, or correct the port in PLAYGROUND_ENGINE_URL. TGI, vLLM and SGLang open "
        "theirs only when the model is loaded, and a first start may download it: `docker compose "
        "logs -f tgi` shows how far compose's TGI is."
    ),
    loading=(
        "Wait: it answers when its model is loaded, and its log says how far it is (of compose's "
        "TGI: `docker compose logs -f tgi`); if that speaks of CUDA out of memory, give it a "
        "shorter context or fewer answers at a time."
    ),
    stranger=(
        "Correct PLAYGROUND_ENGINE_URL, which must be the engine's root, without /v1 or /generate; "
        "PLAYGROUND_ENGINE says what it is (tgi, llamacpp, vllm, sglang or openai) where it cannot "
        "be asked."
    ),
    model=f"Set {_MODEL_ID} to what it serves.",
    context=_LOWER + "PLAYGROUND_CONTEXT_TOKENS may as well be what the engine takes.",
    stops="Let the engine take more, where it can be told to.",
    template=_OWN_PROMPTS + ".",
    key=_SET_KEY + "the engine's.",
    memory="Its memory is full: give it a shorter context or fewer answers at a time.",
    log=_ITS_LOG,
)

_TGI: Final = Advice(
    label="TGI",
    closed=(
        "TGI opens its port only when the model is loaded, and its first start downloads 14 GB: "
        "`docker compose logs -f tgi` shows how far it is; if it is not loading, the port in "
        "PLAYGROUND_ENGINE_URL is wrong."
    ),
    loading=(
        "Wait, and `docker compose logs -f tgi` shows how far it is; if that speaks of CUDA out of "
        "memory, lower MAX_BATCH_PREFILL_TOKENS and MAX_TOTAL_TOKENS in tgi/serve/fp8.env, or "
        "CUDA_MEMORY_FRACTION where something else uses the GPU."
    ),
    stranger=(
        "Ask what listens there: `curl $PLAYGROUND_ENGINE_URL/info` of a TGI gives its model. "
        "PLAYGROUND_ENGINE_URL must be its root, without /v1 or /generate."
    ),
    model=f"Start TGI with that MODEL_ID, or set {_MODEL_ID} to what it serves.",
    context=(
        _LOWER + "raise MAX_TOTAL_TOKENS (and MAX_INPUT_TOKENS) of TGI if the GPU has the memory, "
        "1 GiB for 8,192 tokens."
    ),
    stops="Set MAX_STOP_SEQUENCES=4 for TGI.",
    template=(
        "The page writes its prompts itself, so this concerns only who asks /v1/chat/completions: "
        "set TOKENIZER_CONFIG_PATH to tgi/serve/tokenizer_config.json for them."
    ),
    key=_SET_KEY + "what TGI's API_KEY is.",
    memory=(
        "The GPU's memory is full: lower MAX_BATCH_PREFILL_TOKENS and MAX_TOTAL_TOKENS in "
        "tgi/serve/fp8.env, or end what else uses the GPU (`nvidia-smi` lists it)."
    ),
    log="TGI's log has the reason, and cannot be read from here: `docker compose logs tgi`.",
)

_LLAMACPP: Final = Advice(
    label="llama.cpp",
    closed=(
        "Start it: `playground demo --model FILE.gguf` brings one of its own, `llama-server -m "
        "FILE.gguf --port 8080` is llama.cpp's; it opens its port at once, so if it runs, the port "
        "in PLAYGROUND_ENGINE_URL is wrong."
    ),
    loading=(
        "Wait: it reads the model's file, seconds for a small one and up to a minute for 7B. If it "
        "stays so, its output says whether the file is cut or larger than the memory."
    ),
    stranger=(
        "Ask what listens there: `curl $PLAYGROUND_ENGINE_URL/props` of a llama.cpp gives its "
        f"model. {_ROOT}"
    ),
    model=f"Start llama.cpp with that model's GGUF, or set {_MODEL_ID} to what it serves.",
    context=(
        _LOWER + "start llama.cpp with a larger --ctx-size, which its slots share (8,192 tokens "
        "for each of 4 is 32768), if the machine has the memory."
    ),
    stops="Update llama.cpp.",
    template=_OWN_PROMPTS + ": start llama.cpp with --chat-template-file for them.",
    key=_SET_KEY + "one that llama.cpp was started with (--api-key).",
    memory=(
        "Its memory is full: start llama.cpp with a smaller --ctx-size, fewer slots (--parallel) "
        "or a smaller quantisation of the model."
    ),
    log="llama.cpp's output has the reason, and cannot be read from here.",
)

_VLLM: Final = Advice(
    label="vLLM",
    closed=(
        "vLLM opens its port only when the model is loaded and compiled, minutes after its start; "
        "its log says how far it is. If it is not loading, the port in PLAYGROUND_ENGINE_URL is "
        "wrong."
    ),
    loading="Wait: its log says how far it is, and of memory that did not do.",
    stranger=(
        "Ask what listens there: `curl $PLAYGROUND_ENGINE_URL/v1/models` of a vLLM gives its "
        f"model. {_ROOT}"
    ),
    model=(
        "Start vLLM with that model, set PLAYGROUND_ENGINE_MODEL where it serves several, or set "
        f"{_MODEL_ID} to what it serves."
    ),
    context=_LOWER + "raise vLLM's --max-model-len if the GPU has the memory.",
    stops="Update vLLM, which takes 4.",
    template=_OWN_PROMPTS + ": start vLLM with --chat-template for them.",
    key=_SET_KEY + "what vLLM was started with (--api-key).",
    memory=(
        "The GPU's memory is full: start vLLM with a smaller --max-model-len or --max-num-seqs, or "
        "end what else uses the GPU (`nvidia-smi` lists it)."
    ),
    log="vLLM's log has the reason, and cannot be read from here.",
)

_SGLANG: Final = Advice(
    label="SGLang",
    closed=(
        "SGLang opens its port only when the model is loaded; its log says how far it is. If it is "
        "not loading, the port in PLAYGROUND_ENGINE_URL is wrong."
    ),
    loading="Wait: its log says how far it is, and of memory that did not do.",
    stranger=(
        "Ask what listens there: `curl $PLAYGROUND_ENGINE_URL/model_info` of an SGLang gives its "
        f"model. {_ROOT}"
    ),
    model=f"Start SGLang with that --model-path, or set {_MODEL_ID} to what it serves.",
    context=_LOWER + "raise SGLang's --context-length if the GPU has the memory.",
    stops="Update SGLang, which takes 32.",
    template=_OWN_PROMPTS + ": start SGLang with --chat-template for them.",
    key=_SET_KEY + "what SGLang was started with (--api-key).",
    memory=(
        "The GPU's memory is full: start SGLang with a smaller --mem-fraction-static or "
        "--context-length, or end what else uses the GPU (`nvidia-smi` lists it)."
    ),
    log="SGLang's log has the reason, and cannot be read from here.",
)

_OPENAI: Final = Advice(
    label="the service",
    closed="Start it, or correct the port in PLAYGROUND_ENGINE_URL.",
    loading="Wait: services load a model that was not asked for lately, which can take minutes.",
    stranger=(
        "Look at the address, the model's name and the key: `curl "
        "$PLAYGROUND_ENGINE_URL/v1/models` lists the models, PLAYGROUND_ENGINE_MODEL names one of "
        "them as it stands there, and "
        "PLAYGROUND_ENGINE_API_KEY is the key of the service."
    ),
    model=(
        "Set PLAYGROUND_ENGINE_MODEL to the model's name as the service has it, or "
        f"{_MODEL_ID} to what it serves."
    ),
    context=_LOWER + "it is the service's, and the page cuts conversations to it.",
    stops="The page refuses an answer with more stop sequences; nothing need be done.",
    template=_OWN_PROMPTS + ".",
    key=_SET_KEY + "a key of the service that may use this model.",
    memory="That is the service's to mend: try again later, or another model.",
    log="The service may say more on its page of states, or in your account there.",
)

_BY_KIND: Final[Mapping[EngineChoice, Advice]] = {
    "auto": _UNKNOWN,
    "tgi": _TGI,
    "llamacpp": _LLAMACPP,
    "vllm": _VLLM,
    "sglang": _SGLANG,
    "openai": _OPENAI,
}


def advice_for(kind: EngineChoice) -> Advice:
    """What to do about an engine of a kind; auto is one of which nothing is known."""
    return _BY_KIND[kind]
