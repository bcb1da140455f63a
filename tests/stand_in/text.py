"""Text to tokens and back: the tokenizer, incremental detokenisation, the chat template."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Encoding, Tokenizer

UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # what an incomplete UTF-8 character decodes to

# A tokenizer may write a token differently at the start of a text; so the last tokens of the prompt
# are decoded along with the first new ones. TGI takes five.
CONTEXT = 5

# Characters from which on tokenizing takes so long (2.5 s for 900,000) that it belongs in a thread.
LONG = 20_000

T = TypeVar("T")


async def apart(text: str, work: Callable[[], T]) -> T:
    """What work gives, which takes the longer the text is; in a thread if that may be long."""
    return await asyncio.to_thread(work) if len(text) > LONG else work()


class Text:
    """A model's tokenizer and template.

    Args:
        tokenizer: A tokenizer.json.
        config: The content of tokenizer_config.json; it may be empty.
    """

    def __init__(self, tokenizer: Tokenizer, config: Mapping[str, Any]) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special = frozenset(number for number, token in added.items() if token.special)
        self._bos, self._eos = config.get("bos_token"), config.get("eos_token")
        self._template = _template(config.get("chat_template", ""))

    @classmethod
    def load(cls, folder: Path) -> "Text":
        """The tokenizer.json of a folder, and its tokenizer_config.json."""
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        return cls(Tokenizer.from_file(str(folder / "tokenizer.json")), config)

    def encode(self, text: str, *, special: bool = True, most: int | None = None) -> list[int]:
        """The tokens of a text, with BOS in front unless `special` is not wanted.

        Args:
            text: May be long.
            special: Whether BOS is added.
            most: That many are kept at most, BOS and the last ones.
        """
        tokens = list(self._encoding(text, special=special).ids)
        if most is None or len(tokens) <= most:
            return tokens
        return tokens[:1] + tokens[len(tokens) - most + 1 :]

    def pieces(self, text: str, *, special: bool = True) -> list[dict[str, object]]:
        """The tokens as TGI's /tokenize gives them; start and stop count bytes of UTF-8."""
        encoding = self._encoding(text, special=special)
        places = [0]
        for character in text:
            places.append(places[-1] + len(character.encode("utf-8", "surrogatepass")))
        return [
            {"id": number, "text": text[start:stop], "start": places[start], "stop": places[stop]}
            for number, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    def _encoding(self, text: str, *, special: bool) -> Encoding:
        if len(text) <= LONG:
            return self._tokenizer.encode(text, add_special_tokens=special)
        # Unlike `encode`, this lets other threads run meanwhile.
        return self._tokenizer.encode_batch([text], add_special_tokens=special)[0]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=False))

    def is_special(self, token: int) -> bool:
        """Whether a token stands for no text."""
        return token in self._special

    def render(self, messages: Sequence[Mapping[str, object]]) -> str:
        """The prompt of a conversation by the model's template, as TGI renders it.

        An assistant's message at the end is continued.
        """
        prompt: str = self._template.render(
            messages=list(messages),
            add_generation_prompt=True,
            bos_token=self._bos,
            eos_token=self._eos,
        )
        if messages and messages[-1].get("role") == "assistant":
            content = str(messages[-1]["content"])
            end = prompt.rfind(content)
            if end >= 0:
                prompt = prompt[: end + len(content)].rstrip()
        return prompt


class Detokeniser:
    """The text of one answer, token by token. Text is "" while a character is incomplete.

    A token's text depends on the one before it (a space at the start of a word), so it is what it
    adds to the tokens of the piece that was given last. All of them: with a fixed number, part of a
    character of four byte tokens would stand at the start, decode to other characters than the
    whole, and shift everything behind it.
    """

    def __init__(self, text: Text, prompt: Sequence[int]) -> None:
        self._text = text
        self._tokens = list(prompt[-CONTEXT:])
        self._given = len(self._tokens)  # of them, whose text has been given
        self._known = text.decode(self._tokens)

    @property
    def inside(self) -> bool:
        """Whether the last token has ended no character yet."""
        return len(self._tokens) > self._given

    def add(self, token: int) -> str:
        """The text that this token adds."""
        self._tokens.append(token)
        whole = self._text.decode(self._tokens)
        if len(whole) <= len(self._known) or whole.endswith(UNFINISHED):
            return ""
        added = whole[len(self._known) :]
        self._tokens = self._tokens[self._given :]
        self._given = len(self._tokens)
        self._known = self._text.decode(self._tokens)
        return added


def _template(source: str) -> Any:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    return environment.from_string(source)
