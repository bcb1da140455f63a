"""The bundled model's tokenizer: byte-level BPE, trained on the corpus itself.

Newlines and digits stand alone, so that a text is cut alike whether it is tokenised in one piece
(a prompt) or turn by turn (training). The turn markers are one token each but ordinary text: they
are decoded as they were written.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

VOCABULARY = 2048
UNKNOWN, BOS, EOS = "<unk>", "<s>", "</s>"
USER, ASSISTANT = "<|user|>", "<|assistant|>"

_WORDS = r"'(?:s|t|re|ve|m|ll|d)\b|\n| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|[^\S\n]+(?!\S)|\s"


def special(tokenizer: Tokenizer, text: str) -> int:
    """The id of a special token.

    Raises:
        ValueError: When the tokenizer does not have it.
    """
    token: int | None = tokenizer.token_to_id(text)
    if token is None:
        raise ValueError(f"The tokenizer has no token {text}.")
    return token


def train(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer of VOCABULARY tokens; BOS is added in front, as Mistral's tokenizer does."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    # A text begins without its space, as Mistral's tokenizer has it: one token by itself loses it.
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    markers = [AddedToken(marker, normalized=False, special=False) for marker in (USER, ASSISTANT)]
    trainer = BpeTrainer(
        vocab_size=VOCABULARY - len(markers),
        special_tokens=[UNKNOWN, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(markers)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A $B",
        special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
    )
    return tokenizer
