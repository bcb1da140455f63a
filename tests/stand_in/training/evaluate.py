"""Measures an exported model: held-out questions, samplers, examples. Needs no torch."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import mean

from tests.stand_in.sampling import Sampling
from tests.stand_in.training.dialogues import Exchange, exchange, prompt
from tests.stand_in.training.generation import Model
from tests.stand_in.training.intents import Corpus, Intent
from tests.stand_in.training.judging import Judge, Reader, repeated, words
from tests.stand_in.training.templates import Bindings

MOST_EXPANSIONS = 3  # of one held-out template: a slot in it must not outweigh other intents
ANIMALS = "Name ten animals."
PROMPTS = ("Tell me a story.", ANIMALS, "How do I choose a temperature?")
SETTINGS = {
    "temperature 0.3": Sampling(temperature=0.3),
    "temperature 0.7": Sampling(temperature=0.7),
    "temperature 1.0": Sampling(temperature=1.0),
    "temperature 1.6": Sampling(temperature=1.6),
    "temperature 1.6, min_p 0.1": Sampling(temperature=1.6, min_p=0.1),
    "temperature 1.6, top_k 3": Sampling(temperature=1.6, top_k=3),
    "temperature 1.6, top_p 0.8": Sampling(temperature=1.6, top_p=0.8),
    "AlpacaEval": Sampling(temperature=0.7, top_p=0.95),
    "HuggingChat": Sampling(temperature=0.3, top_p=0.95, top_k=50, repetition_penalty=1.2),
    "Min-p": Sampling(temperature=1.0, min_p=0.1),
}
PENALTIES = {
    "none": Sampling(),
    "frequency_penalty 1.0": Sampling(frequency_penalty=1.0),
    "presence_penalty 1.5": Sampling(presence_penalty=1.5),
    "repetition_penalty 1.3": Sampling(repetition_penalty=1.3),
}
EXAMPLES = (
    ("What does min_p do that top_p doesn't?", "Give me an example with numbers."),
    ("Tell me a story about a lighthouse.",),
    (ANIMALS,),
    ("How do I choose a temperature?",),
    ("hi", "who are you", "whats the differnce between kto and dpo"),
    ("How tall is the Matterhorn?",),
)


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out question, with the exchanges before it when it is a follow-up.

    Attributes:
        answer: One that the corpus would give, with the same draws as the question.
    """

    intent: str
    earlier: tuple[Exchange, ...]
    text: str
    answer: str


def held_out(corpus: Corpus, seed: int = 0) -> list[Question]:
    """All held-out questions; the same seed gives the same ones."""
    rng = random.Random(seed)
    return [q for intent in corpus.intents.values() for q in _questions(corpus, intent, rng)]


def _questions(corpus: Corpus, intent: Intent, rng: random.Random) -> Iterator[Question]:
    for template in intent.held:
        texts = set()
        for _ in range(MOST_EXPANSIONS):
            chain: list[Intent] = [intent]
            bindings: Bindings = {}
            while chain[0].after:
                chain.insert(0, corpus.intents[rng.choice(chain[0].after)])
            earlier = tuple(exchange(corpus, i, rng, bindings) for i in chain[:-1])
            final = exchange(corpus, intent, rng, bindings, asks=(template,))
            if final.question not in texts:
                yield Question(intent.id, earlier, final.question, final.answer)
            texts.add(final.question)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A held-out question, the greedy answer and the intent that the answer is nearest to.

    Attributes:
        exact: The answer ends in the words of the corpus's own; it says whether a sum is right.
    """

    question: Question
    answer: str
    nearest: str
    right: bool
    exact: bool


def verdicts(model: Model, judge: Judge, questions: list[Question]) -> Iterator[Verdict]:
    """Greedy answers to held-out questions, judged."""
    for question in questions:
        answer = model.answer(prompt(question.earlier, question.text))
        nearest = judge.intent_of(answer)
        right = judge.label[question.intent] == nearest
        exact = words(question.answer)[-4:] == words(answer)[-4:]
        yield Verdict(question, answer, nearest, right, exact)


def distinct(model: Model, text: str, sampling: Sampling, seeds: int = 12) -> list[str]:
    """Answers to one question, one a seed."""
    return [
        model.answer(prompt((), text), replace(sampling, sample=True, seed=seed))
        for seed in range(seeds)
    ]


def sampler_tables(model: Model, reader: Reader) -> str:
    """Markdown: how distinct, readable and repetitive answers are under some settings."""
    lines = ["| Setting | distinct answers of 12 | readable |", "|---|---|---|"]
    for name, sampling in SETTINGS.items():
        drawn = [distinct(model, text, sampling) for text in PROMPTS]
        counts = ", ".join(str(len(set(answers))) for answers in drawn)
        shares = [reader.readable(answer) for answers in drawn for answer in answers]
        lines.append(f"| {name} | {counts} | {mean(shares):.1%} |")
    lines += ["", "| Setting | repeated animals | readable |", "|---|---|---|"]
    for name, sampling in PENALTIES.items():
        answers = distinct(model, ANIMALS, sampling, seeds=24)
        shares = [
            repeated(re.findall(r"^\d+\. *(.+)$", answer, re.MULTILINE)) for answer in answers
        ]
        readable = mean(reader.readable(answer) for answer in answers)
        lines.append(f"| {name} | {mean(shares):.1%} | {readable:.1%} |")
    return "\n".join(lines)


def examples(model: Model) -> str:
    """Markdown: the page's first prompts, answered with the preset AlpacaEval's values."""
    preset = Sampling(sample=True, temperature=0.7, top_p=0.95, seed=1)
    parts = []
    for texts in EXAMPLES:
        talk: tuple[Exchange, ...] = ()
        for text in texts:
            answer = model.answer(prompt(talk, text), preset)
            talk = (*talk, Exchange("", text, answer))
            quoted = "\n".join(f"> {line}".rstrip() for line in answer.splitlines())
            parts.append(f"**{text}**\n\n{quoted}")
    return "\n\n".join(parts)
