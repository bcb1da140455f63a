"""How others call the parameters, and what else their files hold.

The names of the seven stand in the sampler table; here is what is particular to a format. The
values after the names are neutral: what has such a value does nothing and is no loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from playground.domain.samplers import PARAMETERS, Parameter

_CONVERSATION: Final = "the conversation is no part of a preset"
_MESSAGES: Final = f"{_CONVERSATION}; for a system text the panel has a field"
_MODEL: Final = "the model that answers is the one that this page is for"
REQUEST: Final = "it belongs to a request, not to a preset; the panel has a field for it"
_FORM: Final = "it constrains the answer, which no preset does"
_LENGTH: Final = "it limits prompt and answer together"
# The reasons for leaving out what has an effect on the answers nevertheless.
SHAPING: Final = frozenset({REQUEST, _FORM, _LENGTH})
_SERVING: Final = "it is about serving, not about sampling"
_TOKENS: Final = "it belongs to the model"


def _all(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


# What does something only where one of those behind it does.
_PARTS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("min_temp", "max_temp"), ("dynatemp",)),
    **dict.fromkeys(("dynatemp_low", "dynatemp_high"), ("dynamic_temperature",)),
    "dynatemp_exponent": ("dynatemp", "dynamic_temperature", "dynatemp_range"),
    "smoothing_curve": ("smoothing_factor",),
    **dict.fromkeys(
        ("dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers"),
        ("dry_multiplier",),
    ),
    **dict.fromkeys(("mirostat_tau", "mirostat_eta"), ("mirostat", "mirostat_mode")),
    "xtc_threshold": ("xtc_probability",),
    "adaptive_decay": ("adaptive_target",),
    **dict.fromkeys(
        ("rep_pen_range", "rep_pen_decay", "rep_pen_slope"), ("rep_pen", "repetition_penalty")
    ),
    **dict.fromkeys(
        ("repeat_last_n", "penalize_nl", "penalize_newline"),
        ("repeat_penalty", "frequency_penalty", "presence_penalty"),
    ),
    "repetition_penalty_range": (
        "repetition_penalty", "frequency_penalty", "presence_penalty"
    ),
    **dict.fromkeys(("mirostat_lr", "mirostat_ent"), ("mirostat",)),
    "dynatemp_exp": ("dynatemp_range",),
    "dry_sequence_breaker": ("dry_multiplier",),
}  # fmt: skip


def _as_option(name: str) -> str:
    return "--" + name.replace("_", "-")


PARTS: Final[Mapping[str, tuple[str, ...]]] = _PARTS | {
    _as_option(part): tuple(map(_as_option, masters)) for part, masters in _PARTS.items()
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One format of names and values.

    Attributes:
        id: Also the key in `Parameter.names`.
        suffix: Of its files.
        limits: What it calls max_new_tokens; the first is written.
        aliases: Other names that it takes for a parameter, by ours.
        nested: Objects inside of which it takes names too.
        foreign: Names of samplers that are not among the seven, with the neutral value of each;
            a tuple holds several.
        other: Names that are no samplers, with the reason why they are left out.
        defaults: What it takes where one of the seven is not named and that is not neutral.
        signs: Names that only a file of this format has.
        program: What takes its defaults.
        switch: Whether it has do_sample, and false in it means greedy decoding.
        greedy: Whether it decodes greedily where do_sample is not named.
        meanings: What is to be known of a parameter that is set, where it means something else
            there.
        extras: What is written beside the values so that they mean there what they mean here.
        rest: The reason for leaving out any other name, where the format has too many to list.
    """

    id: str
    label: str
    suffix: str = "json"
    limits: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    nested: tuple[str, ...] = ()
    foreign: Mapping[str, object] = field(default_factory=dict)
    other: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, float] = field(default_factory=dict)
    signs: frozenset[str] = frozenset()
    program: str = ""
    switch: bool = False
    greedy: bool = False
    meanings: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rest: str = ""

    def parameters(self) -> dict[str, Parameter]:
        """The parameters by every name that stands for one here."""
        ours = {p.name: p for p in PARAMETERS}
        named = {p.names[self.id]: p for p in PARAMETERS if self.id in p.names}
        return named | {alias: ours[name] for alias, name in self.aliases.items()}

    def known(self) -> frozenset[str]:
        """Every name that the format knows."""
        switch = {"do_sample"} if self.switch else set[str]()
        return frozenset(
            {*self.parameters(), *self.limits, *self.nested, *self.foreign, *self.other, *switch}
        )


_OPENAI_OTHER: Final = {
    # The last two are a message's, which in a call in Python are found, too.
    **_all(_CONVERSATION, "prompt input role content"),
    **_all(_MESSAGES, "messages"),
    **_all(_MODEL, "model"),
    **_all(REQUEST, "seed stop"),
    **_all(_FORM, "tools tool_choice response_format reasoning_effort"),
    **_all(
        _SERVING,
        "n stream stream_options logprobs top_logprobs user "
        "echo suffix store metadata service_tier parallel_tool_calls",
    ),
}

OPENAI: Final = Vocabulary(
    "openai",
    "OpenAI request",
    limits=("max_tokens", "max_completion_tokens"),
    foreign={"logit_bias": {}, "best_of": 1},
    other=_OPENAI_OTHER,
)

VLLM: Final = Vocabulary(
    "vllm",
    "OpenAI-compatible request (vLLM, SGLang)",
    limits=("max_tokens", "max_completion_tokens", "max_new_tokens"),
    nested=("extra_body", "sampling_params"),
    foreign={
        **OPENAI.foreign, "typical_p": 1, "length_penalty": 1, "use_beam_search": False,
        "min_tokens": 0, "min_new_tokens": 0, "ignore_eos": False,
    },
    other={
        **_OPENAI_OTHER,
        **_all(_CONVERSATION, "text input_ids"),
        **_all(REQUEST, "stop_token_ids sampling_seed"),
        **_all(_FORM, "guided_json guided_regex guided_choice regex json_schema ebnf"),
        **_all(
            _SERVING,
            "skip_special_tokens spaces_between_special_tokens include_stop_str_in_output "
            "add_generation_prompt "
            "return_logprob prompt_logprobs priority truncate_prompt_tokens no_stop_trim",
        ),
    },
    signs=frozenset({"extra_body", "sampling_params", "repetition_penalty", "top_k", "min_p"}),
    notes=(
        "With OpenAI's Python client, what OpenAI does not know goes into extra_body: top_k, "
        "repetition_penalty and min_p.",
    ),
)  # fmt: skip

# More tokens than a context has: -1, which once was as many as the context, is refused by now.
_LLAMACPP_WINDOW: Final = 100_000
_LLAMACPP_ORDER: Final = ["penalties", "temperature", "top_k", "top_p", "min_p"]

LLAMACPP: Final = Vocabulary(
    "llamacpp",
    "llama.cpp server request",
    limits=("n_predict", "max_tokens"),
    aliases={"temp": "temperature"},
    nested=("default_generation_settings", "params"),
    foreign={
        "typical_p": 1, "typ_p": 1, "tfs_z": 1, "mirostat": 0, "mirostat_tau": None,
        "mirostat_eta": None, "dynatemp_range": 0, "dynatemp_exponent": None, "xtc_probability": 0,
        "xtc_threshold": None, "dry_multiplier": 0, "dry_base": None, "dry_allowed_length": None,
        "dry_penalty_last_n": None, "dry_sequence_breakers": None, "top_n_sigma": (-1, 0),
        "adaptive_target": -1, "adaptive_decay": None,
        "repeat_last_n": (-1, _LLAMACPP_WINDOW), "penalize_nl": None, "logit_bias": [],
        "ignore_eos": False, "min_keep": 0, "samplers": _LLAMACPP_ORDER,
    },
    other={
        **_OPENAI_OTHER,
        **_all(_FORM, "grammar json_schema"),
        **_all(
            _SERVING,
            "cache_prompt n_keep n_probs id_slot slot_id return_tokens "
            "reasoning_in_content generation_prompt speculative.types backend_sampling model_ftype "
            "media_marker endpoint_slots endpoint_props endpoint_metrics ui ui_settings "
            "total_slots model_path model_alias chat_template chat_format build_info modalities "
            "n_ctx id id_task is_processing next_token reasoning_format speculative n_discard "
            "timings_per_token t_max_predict_ms n_indent image_data post_sampling_probs lora "
            "response_fields",
        ),
    },
    defaults={"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
    program="llama.cpp",
    signs=frozenset(
        {"repeat_penalty", "n_predict", "repeat_last_n", "cache_prompt", "samplers", "n_probs",
         "mirostat", "n_keep", "id_slot", "tfs_z", "default_generation_settings"}
    ),
    extras={"repeat_last_n": _LLAMACPP_WINDOW, "samplers": _LLAMACPP_ORDER},
    notes=(
        "samplers puts the temperature before the filters, as here; by itself llama.cpp puts it "
        f"last. repeat_last_n {_LLAMACPP_WINDOW} lets the penalties look at the whole context; "
        "they then count the prompt too, where OpenAI's meaning counts the answer alone.",
    ),
)  # fmt: skip

LLAMACPP_COMMAND: Final = Vocabulary(
    "llamacpp_command",
    "llama.cpp command line",
    suffix="sh",
    limits=("-n", "--n-predict", "--predict"),
    aliases={"--temperature": "temperature"},
    foreign={
        **dict.fromkeys(("--typical", "--typical-p", "--tfs", "--xtc-threshold"), 1),
        "--mirostat": 0, "--mirostat-lr": None, "--mirostat-ent": None, "--dynatemp-range": 0,
        "--dynatemp-exp": None, "--xtc-probability": 0, "--dry-multiplier": 0, "--dry-base": None,
        "--dry-allowed-length": None, "--dry-penalty-last-n": None, "--dry-sequence-breaker": None,
        **dict.fromkeys(("--top-nsigma", "--top-n-sigma"), (-1, 0)), "--adaptive-target": -1,
        "--adaptive-decay": None, "--repeat-last-n": (-1, _LLAMACPP_WINDOW),
        "--logit-bias": None, "-l": None,
        "--ignore-eos": False, "--samplers": ";".join(_LLAMACPP_ORDER),
        **dict.fromkeys(("--sampler-seq", "--sampling-seq")),
    },
    other={
        "word": "it belongs to no option",
        **_all(_CONVERSATION, "-p --prompt -f --file -bf --binary-file"),
        **_all(
            _MODEL,
            "-m --model -mu --model-url -hf -hfr --hf-repo -hff --hf-file -dr --docker-repo -a "
            "--alias --lora --lora-scaled",
        ),
        **_all(
            REQUEST,
            "-s --seed -r --reverse-prompt -sys --system-prompt -sysf --system-prompt-file",
        ),
        **_all(
            _FORM,
            "--grammar --grammar-file -j --json-schema -jf --json-schema-file --reasoning-effort",
        ),
        **_all(_SERVING, "--main-gpu"),  # which resembles --min-p
    },
    defaults=LLAMACPP.defaults,
    program="llama.cpp",
    extras={"--repeat-last-n": _LLAMACPP_WINDOW, "--samplers": ";".join(_LLAMACPP_ORDER)},
    notes=LLAMACPP.notes,
    rest=_SERVING,
)  # fmt: skip

TGI: Final = Vocabulary(
    "tgi",
    "TGI request",
    limits=("max_new_tokens",),
    nested=("parameters",),
    foreign={"typical_p": None, "best_of": 1, "watermark": False, "truncate": None},
    other={
        **_all(_CONVERSATION, "inputs"),
        **_all(REQUEST, "seed stop"),
        **_all(_FORM, "grammar"),
        **_all(
            _SERVING,
            "details decoder_input_details return_full_text top_n_tokens adapter_id stream "
            "add_special_tokens",
        ),
    },
    signs=frozenset(
        {"parameters", "inputs", "details", "return_full_text", "decoder_input_details",
         "top_n_tokens", "truncate", "watermark"}
    ),
    switch=True,
    meanings={
        "frequency_penalty": "TGI divides frequency_penalty by the number of tokens so far: the "
        "same value does far less there than with OpenAI's meaning.",
    },
)  # fmt: skip

SILLYTAVERN: Final = Vocabulary(
    "sillytavern",
    "SillyTavern preset",
    limits=("genamt", "openai_max_tokens"),
    aliases={
        "temperature": "temperature", "repetition_penalty": "repetition_penalty",
        "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty",
    },
    foreign={
        "typical_p": 1, "tfs": 1, "top_a": 0, "epsilon_cutoff": 0, "eta_cutoff": 0,
        "rep_pen_range": 0, "rep_pen_decay": 0, "rep_pen_slope": 1, "rep_pen_size": 0,
        "no_repeat_ngram_size": 0, "penalty_alpha": 0, "num_beams": 1, "length_penalty": 1,
        "min_length": 0, "encoder_rep_pen": 1, "skew": 0, "early_stopping": False,
        "dynatemp": False, "min_temp": None, "max_temp": None, "dynatemp_exponent": None,
        "smoothing_factor": 0, "smoothing_curve": None, "dry_multiplier": 0, "dry_base": None,
        "dry_allowed_length": None, "dry_sequence_breakers": None, "dry_penalty_last_n": None,
        "mirostat_mode": 0, "mirostat_tau": None, "mirostat_eta": None, "guidance_scale": 1,
        "negative_prompt": "", "xtc_probability": 0, "xtc_threshold": None, "nsigma": 0,
        "temperature_last": False, "logit_bias": [], "ban_eos_token": False,
        "ignore_eos_token": False, "banned_tokens": "", "sampler_order": None, "samplers": None,
        "sampler_priority": None, "samplers_priorities": None, "min_keep": 0,
        "typical": 1, "mirostat": 0, "use_default_badwordsids": False,
    },
    other={
        **_all(_CONVERSATION, "prompt"),
        **_all(REQUEST, "seed stop"),
        **_all(_FORM, "grammar grammar_string json_schema"),
        **_all(
            _SERVING,
            "max_length add_bos_token skip_special_tokens spaces_between_special_tokens streaming "
            "speculative_ngram include_reasoning global_banned_tokens "
            "send_banned_tokens generate_until_sentence max_tokens_second openrouter_providers "
            "openai_max_context chat_completion_source stream_openai n max_context_unlocked",
        ),
        **_all(_CONVERSATION, "prompts prompt_order assistant_prefill"),
        **_all(_MODEL, "openai_model"),
    },
    signs=frozenset(
        {"temp", "rep_pen", "freq_pen", "presence_pen", "genamt", "rep_pen_range",
         "chat_completion_source", "openai_max_tokens"}
    ),
    switch=True,
)  # fmt: skip

TEXTGEN: Final = Vocabulary(
    "textgen",
    "textgen (oobabooga) preset",
    suffix="yaml",
    limits=("max_new_tokens", "max_tokens"),
    foreign={
        "typical_p": 1, "tfs": 1, "top_a": 0, "epsilon_cutoff": 0, "eta_cutoff": 0,
        "repetition_penalty_range": 0, "encoder_repetition_penalty": 1, "no_repeat_ngram_size": 0,
        "penalty_alpha": 0, "num_beams": 1, "length_penalty": 1, "min_length": 0,
        "early_stopping": False, "dynamic_temperature": False, "dynatemp_low": None,
        "dynatemp_high": None, "dynatemp_exponent": None, "smoothing_factor": 0,
        "smoothing_curve": None, "dry_multiplier": 0, "dry_base": None, "dry_allowed_length": None,
        "dry_sequence_breakers": None, "mirostat_mode": 0, "mirostat_tau": None,
        "mirostat_eta": None, "guidance_scale": 1, "negative_prompt": "", "xtc_probability": 0,
        "xtc_threshold": None, "top_n_sigma": 0, "temperature_last": False,
        "sampler_priority": None, "adaptive_target": 0, "adaptive_decay": None,
    },
    other=_all(REQUEST, "seed custom_stopping_strings"),
    switch=True,
)  # fmt: skip

TRANSFORMERS: Final = Vocabulary(
    "transformers",
    "transformers generation_config.json",
    limits=("max_new_tokens",),
    foreign={
        "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0, "top_h": None,
        "encoder_repetition_penalty": 1, "no_repeat_ngram_size": 0,
        "encoder_no_repeat_ngram_size": 0, "penalty_alpha": None, "num_beams": 1,
        "num_beam_groups": 1, "diversity_penalty": 0, "length_penalty": 1, "min_length": 0,
        "min_new_tokens": None, "early_stopping": False, "guidance_scale": None,
        "bad_words_ids": None, "sequence_bias": None, "suppress_tokens": None,
        "begin_suppress_tokens": None, "forced_bos_token_id": None, "forced_eos_token_id": None,
        "exponential_decay_length_penalty": None, "stop_strings": None,
        "remove_invalid_values": False, "renormalize_logits": False,
    },
    other={
        **_all(_TOKENS, "bos_token_id eos_token_id pad_token_id decoder_start_token_id"),
        **_all(_LENGTH, "max_length"),
        **_all(
            _SERVING,
            "transformers_version max_time num_return_sequences output_attentions "
            "output_hidden_states output_scores output_logits return_dict_in_generate use_cache "
            "cache_implementation cache_config trust_remote_code _from_model_config chat_format",
        ),
    },
    defaults={"top_k": 50},
    program="transformers",
    greedy=True,
    signs=frozenset(
        {"transformers_version", "eos_token_id", "bos_token_id", "pad_token_id", "do_sample",
         "_from_model_config", "num_beams", "max_length"}
    ),
    switch=True,
    notes=("transformers decodes greedily unless do_sample is true.",),
)  # fmt: skip

KOBOLDCPP: Final = Vocabulary(
    "koboldcpp",
    "KoboldCpp request",
    limits=("max_length",),
    aliases={"temp": "temperature"},
    foreign={
        "typical": 1, "tfs": 1, "top_a": 0, "rep_pen_range": 0, "rep_pen_slope": 1, "mirostat": 0,
        "mirostat_tau": None, "mirostat_eta": None, "dynatemp_range": 0, "dynatemp_exponent": None,
        "smoothing_factor": 0, "dry_multiplier": 0, "dry_base": None, "dry_allowed_length": None,
        "dry_penalty_last_n": None, "dry_sequence_breakers": None, "xtc_probability": 0,
        "xtc_threshold": None, "nsigma": 0, "sampler_order": None, "logit_bias": {},
        "use_default_badwordsids": False, "ban_eos_token": False, "banned_tokens": [],
    },
    other={
        **_all(_CONVERSATION, "prompt images"),
        **_all(REQUEST, "sampler_seed stop_sequence memory"),
        **_all(_FORM, "grammar"),
        **_all(_SERVING, "max_context_length n quiet genkey trim_stop grammar_retain_state"),
    },
    signs=frozenset({"max_context_length", "sampler_seed", "genkey"}),
)  # fmt: skip

OLLAMA: Final = Vocabulary(
    "ollama",
    "Ollama request",
    limits=("num_predict",),
    nested=("options",),
    foreign={
        "typical_p": 1, "tfs_z": 1, "mirostat": 0, "mirostat_tau": None, "mirostat_eta": None,
        "repeat_last_n": -1, "penalize_newline": None,
    },
    other={
        **_all(_CONVERSATION, "prompt suffix images context"),
        **_all(_MESSAGES, "messages message"),
        **_all(_MODEL, "model from adapter"),
        **_all(REQUEST, "seed stop system"),
        **_all(_FORM, "format template tools think raw"),
        **_all(
            _SERVING,
            "stream keep_alive num_ctx num_batch num_gpu main_gpu num_thread num_keep numa "
            "use_mmap use_mlock low_vram f16_kv vocab_only logits_all license requires",
        ),
    },
    defaults={"temperature": 0.8, "top_k": 40, "top_p": 0.9},
    program="Ollama",
    signs=frozenset({"options", "num_predict", "num_ctx", "keep_alive"}),
)  # fmt: skip
MODELFILE: Final = replace(OLLAMA, id="modelfile", label="Ollama Modelfile", suffix="Modelfile")

LMSTUDIO: Final = Vocabulary(
    "lmstudio",
    "LM Studio preset",
    limits=("maxPredictedTokens", "n_predict"),
    aliases={
        "temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
        "repeat_penalty": "repetition_penalty", "frequency_penalty": "frequency_penalty",
        "presence_penalty": "presence_penalty",
    },
    foreign={
        "tfs": 1, "tfs_z": 1, "typical_p": 1, "mirostat": 0, "mirostat_tau": None,
        "mirostat_eta": None, "repeat_last_n": -1, "penalize_nl": None, "logit_bias": {},
    },
    other={
        **_all(REQUEST, "systemPrompt stopStrings seed pre_prompt antiprompt"),
        **_all(_FORM, "structured tools promptTemplate input_prefix input_suffix"),
        **_all(
            _SERVING,
            "contextOverflowPolicy contextLength cpuThreads n_threads n_keep n_batch "
            "pre_prompt_prefix pre_prompt_suffix multiline_input",
        ),
    },
    signs=frozenset({"operation", "inference_params"}),
)  # fmt: skip

PYTHON: Final = Vocabulary("python", "Python call", suffix="py", limits=("max_tokens",))

# In the order in which a file's names are held against the signs.
JSON_VOCABULARIES: Final = (
    LMSTUDIO,
    OLLAMA,
    KOBOLDCPP,
    SILLYTAVERN,
    LLAMACPP,
    TGI,
    TRANSFORMERS,
    VLLM,
    OPENAI,
)
