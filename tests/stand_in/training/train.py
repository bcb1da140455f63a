"""Training: batches of conversations drawn from the corpus, one CPU thread, seeds fixed.

Only what the assistant says is learned: each of its tokens, and EOS where an answer ends. The EOS
is a target only; the next turn follows without it, as in the prompts that the model will see.
"""

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from tests.stand_in.training.dialogues import Exchange, Talker, question_text
from tests.stand_in.training.intents import Corpus
from tests.stand_in.training.muon import Muon
from tests.stand_in.training.network import Network, Shape
from tests.stand_in.training.tokenizer import BOS, EOS, special

IGNORED = -100
LENGTHS = ((1, 0.42), (2, 0.25), (3, 0.15), (4, 0.10), (6, 0.06), (12, 0.02))  # exchanges: share
MOST_TOKENS = 1280  # of one conversation
OPENING_SHARE = 0.65  # of the samples: only the first tokens of the answer, so many more questions
OPENING_TOKENS = 12


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast.

    Attributes:
        tokens: Of a batch, padding included.
        seconds: None for no limit.
    """

    steps: int = 1300
    tokens: int = 4096
    rate: float = 2e-3  # of AdamW; Muon's is ten times that
    warm_up: int = 50
    decay: float = 0.5  # the share of the steps over which the rate falls to zero
    weight_decay: float = 0.05
    normaliser: float = 1e-2  # of the squared log-partition: keeps logits near log-probabilities
    intents: float = 0.2  # the weight of telling the intent where an answer starts
    seed: int = 1


class Sample(NamedTuple):
    """One row: ids, the next token to learn at each, the intent to tell at each, or IGNORED."""

    ids: list[int]
    targets: list[int]
    intents: list[int]


def encode(tokenizer: Tokenizer, talk: list[Exchange], numbers: Mapping[str, int]) -> Sample:
    """A conversation as a sample.

    Args:
        tokenizer: The model's.
        talk: The exchanges, in their order.
        numbers: Of each intent's id.
    """
    bos, eos = special(tokenizer, BOS), special(tokenizer, EOS)

    def ids_of(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    ids, targets, intents = [bos], [IGNORED], [IGNORED]
    for number, exchange in enumerate(talk):
        asked = ids_of(("\n" if number else "") + question_text(exchange.question))
        answer = ids_of(exchange.answer)
        ids += asked + answer
        targets += [IGNORED] * (len(asked) - 1) + answer + [eos]
        intents += [IGNORED] * (len(asked) - 1) + [numbers[exchange.intent]]
        intents += [IGNORED] * len(answer)
    return Sample(ids, targets, intents)


def samples(corpus: Corpus, tokenizer: Tokenizer, rng: random.Random) -> Iterator[Sample]:
    """Endless samples: whole conversations, and questions with only the opening of the answer."""
    talker = Talker(corpus)
    numbers = {name: number for number, name in enumerate(corpus.intents)}
    intents = list(corpus.intents.values())
    weights = [intent.weight for intent in intents]
    lengths, shares = zip(*LENGTHS, strict=True)
    while True:
        if rng.random() < OPENING_SHARE:
            start = rng.choice(intents)
            sample = encode(tokenizer, talker.conversation(rng, start, 1), numbers)
            asked = max(at for at, intent in enumerate(sample.intents) if intent != IGNORED)
            end = asked + OPENING_TOKENS
        else:
            start = rng.choices(intents, weights)[0]
            length = rng.choices(lengths, shares)[0]
            sample = encode(tokenizer, talker.conversation(rng, start, length), numbers)
            end = MOST_TOKENS
        yield Sample(sample.ids[:end], sample.targets[:end], sample.intents[:end])


def batches(
    drawn: Iterator[Sample], tokens: int, rng: random.Random
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless batches of about as many tokens: ids, targets and intents, each [rows, longest].

    Rows are padded at the end; samples of like length go together, so that little is padding.
    """
    while True:
        pool = sorted((next(drawn) for _ in range(1024)), key=lambda sample: len(sample.ids))
        groups: list[list[Sample]] = [[]]
        for sample in pool:
            if len(sample.ids) * (len(groups[-1]) + 1) > tokens and groups[-1]:
                groups.append([])
            groups[-1].append(sample)
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(sample.ids) for sample in group)
            rows: tuple[list[list[int]], ...] = ([], [], [])
            for sample in group:
                padding = longest - len(sample.ids)
                for row, values, filler in zip(rows, sample, (0, IGNORED, IGNORED), strict=True):
                    row.append(values + [filler] * padding)
            ids, targets, intents = (torch.tensor(row) for row in rows)
            yield ids, targets, intents


def answer_loss(network: Network, tokenizer: Tokenizer, talks: list[list[Exchange]]) -> float:
    """Nats a token of the last answers of conversations, EOS included, without penalty terms."""
    total, count = 0.0, 0
    for talk in talks:
        sample = encode(tokenizer, talk, {exchange.intent: 0 for exchange in talk})
        start = max(at for at, intent in enumerate(sample.intents) if intent != IGNORED)
        with torch.no_grad():
            logits = network.logits(network(torch.tensor([sample.ids]))[0, start:])
        targets = torch.tensor(sample.targets[start:])
        total += functional.cross_entropy(logits, targets, reduction="sum").item()
        count += len(targets)
    return total / count


def losses(
    network: Network, head: nn.Linear, ids: Tensor, targets: Tensor, intents: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Over what is learned: cross-entropy of tokens and of intents in nats, squared log-partition.

    Args:
        head: Tells intents from hidden states, in training only.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = network(ids)
        learned, told = targets != IGNORED, intents != IGNORED
        logits, guesses = network.logits(hidden[learned]).float(), head(hidden[told]).float()
    entropy = functional.cross_entropy(logits, targets[learned])
    confusion = functional.cross_entropy(guesses, intents[told])
    return entropy, confusion, logits.logsumexp(-1).square().mean()


def rate_at(recipe: Recipe, step: int) -> float:
    """Warm-up, constant, then down to zero along 1 - sqrt."""
    if step < recipe.warm_up:
        return recipe.rate * (step + 1) / recipe.warm_up
    falling = recipe.steps * recipe.decay
    through = (step - (recipe.steps - falling)) / falling
    return recipe.rate * (1 - math.sqrt(min(1.0, max(0.0, through))))


def train(
    corpus: Corpus,
    tokenizer: Tokenizer,
    shape: Shape,
    recipe: Recipe,
    folder: Path,
    say: Callable[[str], None] = print,
) -> Network:
    """A trained network; `folder` gets checkpoint.pt and log.jsonl along the way."""
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(True)
    rng = random.Random(recipe.seed)
    network = Network(shape)
    head = nn.Linear(shape.hidden_size, len(corpus.intents))
    matrices = [p for p in network.blocks.parameters() if p.dim() == 2]
    vectors = [p for p in network.parameters() if p.dim() == 1]
    adam = torch.optim.AdamW(
        [
            {"params": [network.embedding.weight], "weight_decay": recipe.weight_decay},
            {"params": [*vectors, *head.parameters()], "weight_decay": 0.0},
        ],
        lr=recipe.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    muon = Muon(matrices, rate=10 * recipe.rate, weight_decay=recipe.weight_decay)
    feed = batches(samples(corpus, tokenizer, rng), recipe.tokens, rng)
    folder.mkdir(parents=True, exist_ok=True)
    start, seen, mean = time.perf_counter(), 0, torch.zeros(3)
    with (folder / "log.jsonl").open("w", encoding="utf-8") as log:
        for step in range(recipe.steps):
            for group in adam.param_groups:
                group["lr"] = rate_at(recipe, step)
            for group in muon.param_groups:
                group["lr"] = 10 * rate_at(recipe, step)
            ids, targets, intents = next(feed)
            entropy, confusion, partition = losses(network, head, ids, targets, intents)
            (entropy + recipe.intents * confusion + recipe.normaliser * partition).backward()
            torch.nn.utils.clip_grad_norm_([*network.parameters(), *head.parameters()], 1.0)
            for optimiser in (adam, muon):
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            seen += ids.numel()
            now = torch.stack((entropy, confusion, partition)).detach()
            mean = now if step == 0 else torch.lerp(mean, now, 0.02)
            if step % 50 == 49:
                spent = time.perf_counter() - start
                line = {
                    "step": step + 1,
                    "loss": round(mean[0].item(), 4),
                    "intents": round(mean[1].item(), 4),
                    "partition": round(mean[2].item(), 3),
                    "tokens": seen,
                    "seconds": round(spent, 1),
                }
                log.write(json.dumps(line) + "\n")
                log.flush()
                say(json.dumps(line))
            if step % 200 == 199 or step + 1 == recipe.steps:
                torch.save(network.state_dict(), folder / "checkpoint.pt")
    return network
