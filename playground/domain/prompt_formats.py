"""How conversations are written for a model: markers, stop sequences, and what nobody may forge.

A format is data. Which one is right depends on the model alone, whatever engine serves it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """One way to write a conversation.

    Attributes:
        label: For people.
        user: What stands before a user's text and behind it.
        assistant: What stands before an answer and behind it; the first opens the answer that is
            asked for, and one that is continued.
        system: What stands before the system text and behind it; ``None`` where the format has no
            such role: the text then goes in front of the first user message, with a blank line
            between.
        bos: The token at the beginning, which the engine's tokenizer puts there: the prompt holds
            none, or there would be two. "" where the model has none.
        stop: The sequences that end an answer, beside the model's own end of text.
        forged: Strings that a message must not hold, since the model would read a turn, the end of
            the text or another special token in them. Each is changed where it is sent: see
            `prompt.neutralise`. They begin and end with a bracket, and hold none between.
        default_system: The system text where a conversation has none.
        trimmed: Whether white space at both ends of a message is left out.
        note: What who reads a receipt must know of it, such as that it is a guess.
    """

    id: str
    label: str
    user: tuple[str, str]
    assistant: tuple[str, str]
    system: tuple[str, str] | None
    bos: str
    stop: tuple[str, ...]
    forged: frozenset[str]
    default_system: str = ""
    trimmed: bool = False
    note: str = ""


# Llama 2's vocabulary, which Mistral's first ones and all that was made of them have, too.
_LLAMA_2: Final = frozenset({"<s>", "</s>", "<unk>"})

# The default model. To its tokenizer the markers are ordinary text.
TULU2: Final = PromptFormat(
    id="tulu2",
    label="TuluV2",
    user=("<|user|>\n", "\n"),
    assistant=("<|assistant|>\n", "\n"),
    system=None,
    bos="<s>",
    stop=("<|user|>",),
    forged=_LLAMA_2 | {"<|user|>", "<|assistant|>", "<|system|>"},
)

_HEADERS: Final = """
    <|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|>
    <|step_id|> <|python_tag|> <|finetune_right_pad_id|> <|image|>
"""

# Models made of Llama 3 are written for in ChatML, too, and have its tokens still.
CHATML: Final = PromptFormat(
    id="chatml",
    label="ChatML",
    user=("<|im_start|>user\n", "<|im_end|>\n"),
    assistant=("<|im_start|>assistant\n", "<|im_end|>\n"),
    system=("<|im_start|>system\n", "<|im_end|>\n"),
    bos="",
    stop=("<|im_end|>",),
    forged=_LLAMA_2 | {"<|im_start|>", "<|im_end|>", "<|endoftext|>", *_HEADERS.split()},
)

# All special tokens of SmolLM2's vocabulary.
_SMOLLM2: Final = """
    <|endoftext|> <|im_start|> <|im_end|> <repo_name> <reponame> <file_sep> <filename> <gh_stars>
    <issue_start> <issue_comment> <issue_closed> <jupyter_start> <jupyter_text> <jupyter_code>
    <jupyter_output> <jupyter_script> <empty_output>
"""
SMOLLM2: Final = replace(
    CHATML,
    id="smollm2",
    label="ChatML of SmolLM2",
    forged=frozenset(_SMOLLM2.split()),
    default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
)

# Mistral 7B Instruct 0.1 and 0.2 and Mixtral 8x7B: [INST] is ordinary text there.
MISTRAL_V1: Final = PromptFormat(
    id="mistral-v1",
    label="Mistral Instruct 0.1 and 0.2",
    user=("[INST] ", " [/INST]"),
    assistant=(" ", "</s> "),
    system=None,
    bos="<s>",
    stop=(),
    forged=_LLAMA_2 | {"[INST]", "[/INST]"},
)

# Mistral 7B Instruct 0.3, Mixtral 8x22B and others of 2024: its markers are tokens.
_CONTROL: Final = """
    [INST] [/INST] [TOOL_CALLS] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS]
"""
MISTRAL_V3: Final = PromptFormat(
    id="mistral-v3",
    label="Mistral Instruct 0.3",
    user=("[INST] ", "[/INST]"),
    assistant=(" ", "</s>"),
    system=None,
    bos="<s>",
    stop=(),
    forged=_LLAMA_2 | {*_CONTROL.split(), *(f"[control_{n}]" for n in range(8, 769))},
)

ZEPHYR: Final = PromptFormat(
    id="zephyr",
    label="Zephyr",
    user=("<|user|>\n", "</s>\n"),
    assistant=("<|assistant|>\n", "</s>\n"),
    system=("<|system|>\n", "</s>\n"),
    bos="<s>",
    stop=("<|user|>",),
    forged=_LLAMA_2 | {"<|user|>", "<|assistant|>", "<|system|>"},
)

# Llama 3 to 3.3. The templates of 3.1 and later also put dates into the system text; this does not.
LLAMA3: Final = PromptFormat(
    id="llama3",
    label="Llama 3",
    user=("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
    assistant=("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
    system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
    bos="<|begin_of_text|>",
    stop=("<|eot_id|>", "<|end_of_text|>"),
    forged=frozenset({*_HEADERS.split(), *(f"<|reserved_special_token_{n}|>" for n in range(251))}),
    trimmed=True,
)

FORMATS: Final[Mapping[str, PromptFormat]] = {
    each.id: each for each in (TULU2, CHATML, SMOLLM2, MISTRAL_V1, MISTRAL_V3, ZEPHYR, LLAMA3)
}

_GUESS: Final = (
    "The conversation is written as for Contextual_KTO_Mistral_PairRM; PLAYGROUND_PROMPT_FORMAT "
    "names another way."
)
# What a model is written for of which nothing is known: markers that are text in any vocabulary.
_ALL: Final = frozenset().union(*(each.forged for each in FORMATS.values()))
UNKNOWN: Final = replace(
    TULU2,
    forged=_ALL,
    note=f"By its name it is not known how this model wants conversations. {_GUESS}",
)
UNKNOWN_TEMPLATE: Final = replace(
    TULU2,
    forged=_ALL,
    note=f"The playground does not know this model's own chat template. {_GUESS}",
)

# The default model under whatever name its files have. Its name has Mistral's in it, and the
# files that others made of it carry other templates than its card says.
_DEFAULT: Final = re.compile(r"kto-mistral-pairrm")
# By name; all signs but letters and digits are a hyphen. The first that is found.
_NAMES: Final = (
    (re.compile(r"\bsmollm2\b"), SMOLLM2),
    (re.compile(r"\bsmollm\b|\bqwen|\bopenhermes\b|\bhermes-[23]\b|chatml"), CHATML),
    (re.compile(r"^(?!.*stablelm).*zephyr|\btinyllama\b.*\bchat\b"), ZEPHYR),
    (re.compile(r"\bmistral-7b-instruct-v0-[12]\b|\bmixtral-8x7b-instruct\b"), MISTRAL_V1),
    (re.compile(r"\bmistral-7b-instruct\b|\bmixtral-8x22b-instruct\b"), MISTRAL_V3),
    (re.compile(r"\bllama-?3\b.*\binstruct\b"), LLAMA3),
)
# What a server says is not searched any further, in characters: a pattern holds everybody up.
_LONGEST_NAME: Final = 200
_LONGEST_TEMPLATE: Final = 100_000
_TOKEN: Final = re.compile(r"<[^<>\[\]\s]{1,60}>|\[[A-Z_/]{2,40}\]")
_MARKER: Final = re.compile(r"<\|(?!endoftext)\w+\|>")


def recognise(model_id: str, template: str | None = None, eos: str | None = None) -> PromptFormat:
    """The format of a model, by its chat template where the engine tells it, else by its name.

    Args:
        model_id: Its name on a hub, or that of its file.
        template: Its chat template in Jinja, or one's name as llama.cpp has them.
        eos: What its end of text is called, where the engine tells it: some templates have no more
            than a variable for it.

    Returns:
        Where neither says anything, the default model's, with a note that says so.
    """
    name = re.sub(r"[^a-z0-9]+", "-", model_id[:_LONGEST_NAME].lower())
    if _DEFAULT.search(name):
        return TULU2
    if template and template.strip():
        template = template[:_LONGEST_TEMPLATE]
        return _of_template(template, eos) or _with_tokens(template)
    return next((form for pattern, form in _NAMES if pattern.search(name)), UNKNOWN)


def _with_tokens(template: str) -> PromptFormat:
    """An unknown template's, with what looks like a token in it among what nobody may forge."""
    return replace(UNKNOWN_TEMPLATE, forged=_ALL.union(_TOKEN.findall(template)))


def _of_template(template: str, eos: str | None) -> PromptFormat | None:
    """By the markers in it. Nothing is executed: a template is a program."""
    markers = set(_MARKER.findall(template))
    form = FORMATS.get(template.strip())
    if form is not None:
        return form
    if {"<|im_start|>", "<|im_end|>"} <= markers:
        if "<|im_sep|>" in markers:
            return None
        return SMOLLM2 if SMOLLM2.default_system in template else CHATML
    if {"<|start_header_id|>", "<|eot_id|>"} <= markers:
        return LLAMA3
    if "<|assistant|>" in markers <= {"<|user|>", "<|assistant|>", "<|system|>"}:
        if "eos_token" not in template:
            return TULU2
        ended = re.search(r"<\|user\|>[^{}]{0,200}\beos_token\b", template)
        return ZEPHYR if ended and eos in (None, "", "</s>") else None
    if "[/INST]" in template and not any(each in template for each in ("<<SYS>>", "[SYSTEM_")):
        if re.search(r"\s\[/INST\]", template):
            return MISTRAL_V1
        return MISTRAL_V3 if re.search(r"\[INST\]\s", template) else None
    return None
