"""What servers of OpenAI's completions make of a request, as data: one value for each.

Ranges are not among it. What the playground lets be set (domain/samplers.py) all of them take, but
for a top_k that is off, which each writes in its own way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from playground.domain.messages import Applied
from playground.domain.samplers import BY_NAME
from playground.engines.base import EngineKind, GenerationRequest, Probabilities, Seeds

# A number above it is no int64, which these servers' seeds are.
_LARGEST_SEED: Final = 2**63 - 1
_TELLS_NONE: Final = Probabilities("none")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one server is asked to complete a prompt.

    Attributes:
        label: What it is called; "" where it is known by its host alone.
        applied: Of each parameter, how it is treated.
        always: The parameters that are sent also where they are unset, with their neutral value:
            the server may have a default of its own, such as a model's.
        top_k_off: The top_k that keeps all tokens.
        sends_seed: Whether a seed has an effect.
        probabilities: What it tells of them with the tokens' numbers.
        tokenizes: Whether it has POST /tokenize.
        extras: What each request carries beside its parameters.
    """

    kind: EngineKind
    label: str
    applied: Mapping[str, Applied]
    seeds: Seeds
    always: frozenset[str] = frozenset(BY_NAME)
    top_k_off: int = -1
    stop_sequences: int = 4
    sends_seed: bool = True
    probabilities: Probabilities = _TELLS_NONE
    tokenizes: bool = False
    extras: Mapping[str, object] = field(default_factory=dict)

    def parameters(self, request: GenerationRequest) -> dict[str, object]:
        """All that is sent but the model and the prompt."""
        values: dict[str, object] = {}
        for parameter, value in request.sampler:
            name = parameter.name
            has_effect = value is not None and value != parameter.neutral
            if self.applied[name].how != "native" or not (has_effect or name in self.always):
                continue
            sent: Any = value if has_effect else parameter.neutral
            values[name] = self.top_k_off if name == "top_k" and not has_effect else sent
        values["max_tokens"] = request.max_new_tokens
        if self.sends_seed:
            values["seed"] = request.seed & _LARGEST_SEED
        if request.stop:
            values["stop"] = list(request.stop)
        return {**values, "stream": True, "stream_options": {"include_usage": True}, **self.extras}


_NATIVE: Final = Applied("native")
_ALL: Final[Mapping[str, Applied]] = dict.fromkeys(BY_NAME, _NATIVE)
_OPENAI_HAS: Final = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty"})

VLLM: Final = Dialect(
    kind="vllm",
    label="vLLM",
    applied={
        **_ALL,
        "temperature": Applied("native", "Between 0 and 0.01, vLLM takes 0.01."),
        "min_p": Applied(
            "native",
            "Applied before top_k and top_p. Most engines but vLLM apply it after them: the same "
            "unless both min_p and top_p are set.",
        ),
    },
    seeds=Seeds(
        "alone",
        "The same seed repeats only if nothing else is being generated at the same time: sums "
        "differ with what else is in the batch.",
    ),
    top_k_off=0,
    probabilities=Probabilities("raw", 20),
    tokenizes=True,
    extras={"return_token_ids": True},
)

SGLANG: Final = Dialect(
    kind="sglang",
    label="SGLang",
    applied={
        **_ALL,
        "repetition_penalty": Applied("native", "Counts the answer alone, not the prompt."),
    },
    seeds=Seeds(
        "never",
        "SGLang draws for all answers together, and a seed is not sent: it counts only where "
        "SGLang was started with --enable-deterministic-inference.",
    ),
    stop_sequences=32,
    sends_seed=False,
    tokenizes=True,
    extras={"return_token_ids": True},
)

# Its sampler asserts that no request has both a seed and a min_p, and without a seed takes 42.
SGLANG_DETERMINISTIC: Final = replace(
    SGLANG,
    applied={
        **SGLANG.applied,
        "min_p": Applied(
            "unsupported",
            "SGLang takes no min_p where it was started with --enable-deterministic-inference; it "
            "is not sent.",
        ),
    },
    seeds=Seeds("always", "SGLang was started with --enable-deterministic-inference."),
    sends_seed=True,
)

# A server of which no more is known than the API that it speaks. Strict ones refuse what OpenAI
# does not have, so those are sent only where they are set.
OPENAI: Final = Dialect(
    kind="openai",
    label="",
    applied={
        name: _NATIVE
        if name in _OPENAI_HAS
        else Applied(
            "native",
            f"OpenAI's API has no {name}. It is sent where it is set, and only the proof shows "
            "whether this server applies it.",
        )
        for name in BY_NAME
    },
    seeds=Seeds("never", "A seed is sent; whether this server heeds it only the proof shows."),
    always=_OPENAI_HAS,
)

OPENAI_ITSELF: Final = replace(
    OPENAI,
    label="OpenAI",
    applied={
        name: _NATIVE
        if name in _OPENAI_HAS
        else Applied("unsupported", f"OpenAI has no {name}; it is not sent.")
        for name in BY_NAME
    },
    seeds=Seeds("never", "OpenAI tries to repeat a seed's answer and does not promise it."),
)

FEATHERLESS: Final = replace(
    OPENAI,
    label="Featherless",
    applied=_ALL,
    seeds=Seeds("never", "A seed is sent; Featherless does not say when it repeats."),
    always=frozenset(BY_NAME),
)

_BY_KIND: Final[Mapping[str, Dialect]] = {"vllm": VLLM, "sglang": SGLANG, "openai": OPENAI}
_BY_HOST: Final[Mapping[str, Dialect]] = {
    "api.openai.com": OPENAI_ITSELF,
    "api.featherless.ai": FEATHERLESS,
}


def dialect_of(kind: str, host: str, owner: str) -> Dialect:
    """How to ask a server.

    Args:
        kind: What it is said to be.
        owner: To whom its model belongs in its own words: vLLM and SGLang name themselves there.
    """
    if kind != "openai":
        return _BY_KIND[kind]
    return _BY_HOST.get(host) or _BY_KIND.get(owner, OPENAI)
