"""Conversations drawn from the corpus, as people type them, and their TuluV2 text.

A conversation is a list of exchanges. Its prompt is that of the model's card: no EOS between turns.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.stand_in.training.intents import Corpus, Intent
from tests.stand_in.training.templates import Bindings, Slot, Template, every, expand
from tests.stand_in.training.tokenizer import ASSISTANT, USER

SYSTEM_SHARE = 0.04
_FILLERS = frozenset(
    (
        "a", "an", "the", "is", "are", "do", "does", "did", "i", "you", "me", "my", "to", "of",
        "for", "in", "on", "it", "this", "that", "there", "can", "could", "would", "what", "which",
        "how", "please", "some", "be",
    )
)  # fmt: skip
_SYSTEM: Template = (Slot("system", zipf=False, new=False, tag="", field=None),)
_BEFORE = (
    "please ", "hey, ", "hi, ", "hi! ", "ok, ", "so, ", "hello, ", "well, ", "and ",
    "can you help? ", "quick question: ", "a question: ", "I wonder: ", "tell me, ", "sorry, ",
    "thanks! ", "just ",
)  # fmt: skip
_BEHIND = (", please", " please", ", thanks", " thanks", " :)", " thank you", ", thank you")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and one answer, and the intent behind them."""

    intent: str
    question: str
    answer: str


def question_text(question: str) -> str:
    """The prompt's part of one exchange, up to where its answer starts."""
    return f"{USER}\n{question}\n{ASSISTANT}\n"


def prompt(earlier: Sequence[Exchange], question: str) -> str:
    """The TuluV2 prompt of a question behind earlier exchanges."""
    past = "".join(f"{question_text(e.question)}{e.answer}\n" for e in earlier)
    return past + question_text(question)


def exchange(
    corpus: Corpus,
    intent: Intent,
    rng: random.Random,
    bindings: Bindings,
    asks: Sequence[Template] = (),
) -> Exchange:
    """One exchange of an intent; `asks` replaces the questions to draw from."""
    question = expand(rng.choice(asks or intent.ask), corpus.slots, rng, bindings)
    answer = expand(rng.choice(intent.say), corpus.slots, rng, bindings)
    return Exchange(intent.id, question.strip(), re.sub(r" +(?=\n|$)", "", answer))


def as_typed(question: str, rng: random.Random) -> str:
    """A question as someone in a hurry, or someone polite, may type it."""
    if rng.random() < 0.12:
        first = question if question[:2] in ("I ", "I'") else question[:1].lower() + question[1:]
        before = rng.choice(_BEFORE)
        question = before[:1].upper() + before[1:] + first
    if rng.random() < 0.08:
        end = question[-1:] if question[-1:] in "?.!" else ""
        question = question.removesuffix(end) + rng.choice(_BEHIND) + end
    if rng.random() < 0.3:
        question = question.lower()
    elif rng.random() < 0.02:
        question = question.upper()
    if rng.random() < 0.3:
        question = question.rstrip("?.!")
    elif rng.random() < 0.04:
        question += question[-1:] if question[-1:] in "?!" else "..."
    if rng.random() < 0.08:
        question = question.replace("'", "")
    if rng.random() < 0.12:
        question = misspelt(question, rng)
    return question


def reworded(question: str, corpus: Corpus, rng: random.Random) -> str:
    """The question with a phrase replaced by one of like meaning, or cut down to its keywords."""
    if rng.random() < 0.45:
        known = [phrase for phrase in corpus.synonyms if phrase in question]
        for phrase in rng.sample(known, min(len(known), 2)):
            question = question.replace(phrase, rng.choice(corpus.synonyms[phrase]), 1)
    if rng.random() < 0.06:
        words = [w for w in question.split(" ") if w.lower() not in _FILLERS or rng.random() < 0.3]
        question = " ".join(words) or question
    return question


def normalised(question: str) -> str:
    """A question without case, punctuation and doubled spaces, for comparing."""
    return " ".join(re.findall(r"[\w']+|[+*=-]", question.lower())) or question


def misspelt(text: str, rng: random.Random) -> str:
    """The text with one letter dropped, doubled or swapped with the next, inside a longer word."""
    places = [
        at
        for at in range(1, len(text) - 2)
        if text[at - 1 : at + 2].isalpha() and text[at - 1 : at + 2].isascii()
    ]
    if not places:
        return text
    at = rng.choice(places)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


class Talker:
    """Draws conversations from a corpus. Every draw comes from the generator that it is given."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.reserved = {
            normalised(text)
            for intent in corpus.intents.values()
            for template in intent.held
            for text in every(template, corpus.slots)
        }
        self.openings = [i for i in corpus.intents.values() if not i.after and not i.first]
        self.followers: dict[str, list[Intent]] = {}
        for intent in corpus.intents.values():
            for earlier in intent.after:
                self.followers.setdefault(earlier, []).append(intent)

    def conversation(self, rng: random.Random, start: Intent, length: int) -> list[Exchange]:
        """At least `length` exchanges that begin with an intent, or lead to it where it follows up.

        Follow-ups come where there are any, other openings otherwise.
        """
        bindings: Bindings = {}
        talk: list[Exchange] = []
        chain = [start]
        while chain[0].after:
            chain.insert(0, self.corpus.intents[rng.choice(chain[0].after)])
        if start.after and rng.random() < 0.2:  # something else was talked about before
            talk.append(self._exchange(self._opening(rng), rng, {}))
        talk += [self._exchange(intent, rng, bindings) for intent in chain]
        while len(talk) < length:
            followers = self.followers.get(talk[-1].intent)
            if followers and rng.random() < 0.5:
                intent = rng.choices(followers, [f.weight for f in followers])[0]
            else:
                intent = self._opening(rng)
                bindings.clear()
            talk.append(self._exchange(intent, rng, bindings))
        if rng.random() < SYSTEM_SHARE:
            system = expand(_SYSTEM, self.corpus.slots, rng, {})
            talk[0] = replace(talk[0], question=f"{system}\n\n{talk[0].question}")
        return talk

    def _opening(self, rng: random.Random) -> Intent:
        return rng.choices(self.openings, [i.weight for i in self.openings])[0]

    def _exchange(self, intent: Intent, rng: random.Random, bindings: Bindings) -> Exchange:
        drawn = exchange(self.corpus, intent, rng, bindings)
        while True:
            question = reworded(drawn.question, self.corpus, rng)
            typed = as_typed(question, rng)
            if self.reserved.isdisjoint((normalised(question), normalised(typed))):
                return replace(drawn, question=typed)
