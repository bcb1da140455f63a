"""What a model is called for people, by its id, and the one that the playground was made for.

An id is a name on the Hub, a file's name or path, or what an engine was told to call it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from playground.domain.names import plain_name

DEFAULT_MODEL: Final = "ContextualAI/Contextual_KTO_Mistral_PairRM"
_DEFAULT_TITLE: Final = "KTO Mistral 7B"
# Of AlpacaEval 2.0: the card's figure, and the one beside it in AlpacaEval's own table.
_DEFAULT_SCORE: Final = "AlpacaEval 33.23 (length-controlled 29.71)"
_DEFAULT_NAME: Final = re.compile(
    r"(?:contextualai[-_.])?contextual[-_]kto[-_]mistral[-_]pairrm", re.IGNORECASE
)
_LONGEST: Final = 60
_NAMED: Final = 2  # of several models or engines; more are counted

# What names of files and of quantised copies end with, beside the model's own name.
_FILE: Final = re.compile(r"(?:-\d{5}-of-\d{5})?(?:\.gguf)?$", re.IGNORECASE)
_COPY: Final = re.compile(r"[-_.](?:gguf|imatrix|i1)$", re.IGNORECASE)
_QUANTISATION: Final = re.compile(
    r"[-_.:]((?:I?Q\d|TQ\d)(?:_[0-9A-Z]+)*|MXFP4|NVFP4|B?F16|F32|FP16|FP8|AWQ|GPTQ)$", re.IGNORECASE
)
_VERSION: Final = re.compile(r"(?<=\S)\s+\S*\d\S*$")


@dataclass(frozen=True, slots=True)
class ModelLabel:
    """A model where it answers, as the page's header shows it.

    Attributes:
        title: Its name.
        badge: Its quantisation and its engine, as far as they are known.
        score: What it scored, "" where that is not known.
        is_default: Whether it is the one that the playground was made for.
    """

    title: str
    badge: str
    score: str
    is_default: bool


def label(model_id: str, engine: str, quantisation: str) -> ModelLabel:
    """How a model is shown that an engine has.

    Args:
        engine: Its name with its version, such as "TGI 3.3.7".
        quantisation: "" where the engine does not tell; the model's own name may.
    """
    name, named = _read(model_id)
    is_default = _DEFAULT_NAME.fullmatch(name) is not None
    parts = (quantisation or named, _VERSION.sub("", engine))
    return ModelLabel(
        title=_DEFAULT_TITLE if is_default else _line(name),
        badge=" · ".join(_line(part) for part in parts if part),
        score=_DEFAULT_SCORE if is_default else "",
        is_default=is_default,
    )


def combined(labels: Iterable[ModelLabel]) -> ModelLabel | None:
    """The models of several answers in one label, ``None`` where there are no answers.

    A score is said where one model has written all of them.
    """
    distinct = list(dict.fromkeys(labels))
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    titles = list(dict.fromkeys(each.title for each in distinct))
    badges = list(dict.fromkeys(each.badge for each in distinct if each.badge))
    return ModelLabel(
        title=" and ".join(titles) if len(titles) <= _NAMED else f"{len(titles)} models",
        badge=" and ".join(badges) if len(badges) <= _NAMED else "",
        score=distinct[0].score if len(titles) == 1 else "",
        is_default=all(each.is_default for each in distinct),
    )


def _read(model_id: str) -> tuple[str, str]:
    """A model's own name, and the quantisation that its id names, "" where it names none."""
    name, quantisation = re.split(r"[/\\]", model_id.rstrip("/\\"))[-1], ""
    name = _FILE.sub("", name)
    while len(name) > 1:
        if found := _QUANTISATION.search(name):
            quantisation = quantisation or found[1].upper()
        elif not (found := _COPY.search(name)):
            break
        name = name[: found.start()]
    return name, quantisation


def _line(text: str) -> str:
    line = " ".join(plain_name(text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
