"""Commands that start a model: llama.cpp's options, and the JSON in an option of others.

A name and its value are two words, or one with an equals sign, which llama.cpp itself does not
take. Files of options and variables of the environment are not looked for.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from playground.formats import shell_words
from playground.formats.plain_values import plain_value
from playground.formats.values import Entry, Problem, Unreadable

_START: Final = shell_words.BEFORE + (
    r"(?:\w++=\S*+\s++)*+(?:(?:sudo|nohup|time|exec|python3?(?:\s++-m)?)\s++)*+"
    r"""(?:[^\s'"|;/\\]*+[/\\](?!\s))*+"""
)
_SAMPLING: Final = (
    "temp|temperature|top[-_]k|top[-_]p|min[-_]p|(?:repeat|presence|frequency)[-_]penalty"
)
# By its name, as the image of a container, or by options of sampling alone.
LLAMACPP: Final = re.compile(
    _START + r"(?:(?:llama-[\w-]++|[\w.-]{0,80}llamafile|llama\s++(?:cli|serve|run)"
    r"|(?:main|server)(?=(?:\.exe)?[\s\\^`]++-))(?:\.exe)?(?=\s|\Z)"
    r"|(?:docker|podman)\s++run\s(?=[^|;]*llama\.cpp)"
    rf"|(?=--?[a-z][^|;]*?(?<!\S)--(?:{_SAMPLING})[\s=]|--(?:{_SAMPLING})[\s=]))"
)
OTHERS: Final = re.compile(
    _START + r"(?:(?P<ollama>ollama\s++run)|(?P<vllm>vllm(?:\s++serve|\.entrypoints[\w.]*+))"
    r"|(?P<koboldcpp>koboldcpp[\w.-]*+))(?=\s|\Z)"
)
# The option whose value is JSON in the format of that name.
_JSON_OPTIONS: Final = {"vllm": "--override-generation-config", "koboldcpp": "--gendefaults"}

_NAME: Final = re.compile(r"--?[A-Za-z][\w-]*")
# What is a text, even where it looks like a number or an option.
_TEXTS: Final = (
    *("-p", "--prompt", "-sys", "--system-prompt", "-r", "--reverse-prompt"),
    *("--grammar", "-j", "--json-schema"),
)
_NO_OPTION: Final = "word"


class _Option(NamedTuple):
    """An option as it is written, with its value, or a word that belongs to none."""

    name: str
    value: str | None
    line: int


def read(text: str) -> list[Entry]:
    """The names and values of a llama.cpp command; an option without a value is true."""
    entries = []
    for option in _options(text, LLAMACPP):
        name, value = option.name, option.value
        plain = value if name in _TEXTS else True if value is None else plain_value(value)
        entries.append(Entry(name, plain, option.line))
    return entries


def write(values: Mapping[str, object]) -> str:
    """A command without the model's file, which only its reader knows."""
    options = [
        f'{name} "{value}"' if isinstance(value, str) else f"{name} {value}"
        for name, value in values.items()
    ]
    return " \\\n  ".join(["llama-cli", *options]) + "\n"


def json_of(text: str) -> tuple[str, str, str]:
    """The JSON in another program's command, its format, and the option that holds it.

    The JSON comes below as many lines as it stands below there.

    Raises:
        Unreadable: No option of the command does.
    """
    begun = OTHERS.match(text)
    form = (begun and begun.lastgroup) or ""
    if form not in _JSON_OPTIONS:
        reason = (
            "ollama run has no options for samplers: they stand in a Modelfile, or in the options "
            "of a request."
        )
        raise Unreadable([Problem(reason, 1)])
    name = _JSON_OPTIONS[form]
    for option in _options(text, OTHERS):
        if option.name == name and option.value is not None:
            return "\n" * (option.line - 1) + option.value, form, name
    raise Unreadable([Problem(f"No samplers stand in this command: it has no {name}.", 1)])


def _options(text: str, program: re.Pattern[str]) -> Iterator[_Option]:
    """The options of a command, and the words among them that belong to none."""
    begun = program.match(text)
    waiting: _Option | None = None
    for word in shell_words.words(text, begun.end() if begun else 0):
        name, equals, value = word.text.partition("=")
        if waiting and (waiting.name in _TEXTS or not _NAME.fullmatch(name)):
            yield waiting._replace(value=word.text)
            waiting = None
            continue
        if waiting:
            yield waiting
            waiting = None
        if not _NAME.fullmatch(name):
            if word.text.strip("`"):  # of a fence of Markdown
                yield _Option(_NO_OPTION, word.text, word.line)
            continue
        if name.startswith("--"):
            name = name.replace("_", "-")
        option = _Option(name, value if equals else None, word.line)
        if equals:
            yield option
        else:
            waiting = option
    if waiting:
        yield waiting
