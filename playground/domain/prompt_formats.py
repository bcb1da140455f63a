"""How conversations are written for a model: markers, stop sequences, and what nobody may forge.

A format is data. Which one is right depends on the model alone, whatever engine serves it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """One way to write a conversation.

    Attributes:
        label: For people.
        user: What stands before a user's text and behind it.
        assistant: What stands before an answer and behind it; the first opens the answer that is
            asked for.
        system: What stands before the system text and behind it; ``None`` where the format has no
            such role: the text then goes in front of the first user message, with a blank line
            between.
        stop: The sequences that end an answer, beside the model's own end of text.
        forged: Strings that a message must not hold, since the model would read a turn or the end
            of the text in them. Each is changed where it is sent: see `prompt.neutralise`.
    """

    id: str
    label: str
    user: tuple[str, str]
    assistant: tuple[str, str]
    system: tuple[str, str] | None
    stop: tuple[str, ...]
    forged: tuple[str, ...]


TULU2: Final = PromptFormat(
    id="tulu2",
    label="TuluV2",
    user=("<|user|>\n", "\n"),
    assistant=("<|assistant|>\n", "\n"),
    system=None,
    stop=("<|user|>",),
    forged=("<|user|>", "<|assistant|>", "<|system|>", "<s>", "</s>", "<unk>"),
)

CHATML: Final = PromptFormat(
    id="chatml",
    label="ChatML",
    user=("<|im_start|>user\n", "<|im_end|>\n"),
    assistant=("<|im_start|>assistant\n", "<|im_end|>\n"),
    system=("<|im_start|>system\n", "<|im_end|>\n"),
    stop=("<|im_end|>",),
    forged=("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
)

FORMATS: Final[Mapping[str, PromptFormat]] = {each.id: each for each in (TULU2, CHATML)}


def recognise(model_id: str, template: str | None = None) -> PromptFormat:
    """The format of a model, by its chat template where the engine tells it, else by its name.

    TuluV2, the mission's model's, where neither says anything.
    """
    if template and CHATML.user[0] in template.replace("\\n", "\n"):
        return CHATML
    return TULU2
