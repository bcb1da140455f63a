"""Training: batches of conversations drawn from the corpus, one CPU thread, seeds fixed.

Only what the assistant says is learned: each of its tokens, and EOS where an answer ends. The EOS
is a target only; the next turn follows without it, as in the prompts that the model will see.
"""

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from tgi.embedded.training.dialogues import Exchange, Talker, question_text
from tgi.embedded.training.intents import Corpus
from tgi.embedded.training.network import Network, Shape
from tgi.embedded.training.tokenizer import BOS, EOS

IGNORED = -100
LENGTHS = ((1, 0.42), (2, 0.25), (3, 0.15), (4, 0.10), (6, 0.06), (12, 0.02))  # exchanges: share
MOST_TOKENS = 1280  # of one conversation


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast. tokens: of a batch, padding included; seconds: None for no limit."""

    steps: int = 4000
    tokens: int = 4096
    rate: float = 2e-3
    warm_up: int = 100
    decay: float = 0.5  # the share of the steps over which the rate falls to zero
    weight_decay: float = 0.05
    normaliser: float = 2e-3  # of the squared log-partition: keeps logits near log-probabilities
    seed: int = 1


def encode(tokenizer: Tokenizer, talk: list[Exchange]) -> tuple[list[int], list[int]]:
    """Ids of a conversation and the target at each of them, IGNORED where nothing is learned."""
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)

    def ids_of(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    ids, targets = [bos], [IGNORED]
    for number, exchange in enumerate(talk):
        asked = ids_of(("\n" if number else "") + question_text(exchange.question))
        answer = ids_of(exchange.answer)
        ids += asked + answer
        targets += [IGNORED] * (len(asked) - 1) + answer + [eos]
    return ids, targets


def conversations(
    corpus: Corpus, tokenizer: Tokenizer, rng: random.Random
) -> Iterator[tuple[list[int], list[int]]]:
    """Endless encoded conversations."""
    talker = Talker(corpus)
    intents = list(corpus.intents.values())
    weights = [intent.weight for intent in intents]
    lengths, shares = zip(*LENGTHS, strict=True)
    while True:
        start = rng.choices(intents, weights)[0]
        ids, targets = encode(
            tokenizer, talker.conversation(rng, start, rng.choices(lengths, shares)[0])
        )
        yield ids[:MOST_TOKENS], targets[:MOST_TOKENS]


def batches(
    drawn: Iterator[tuple[list[int], list[int]]], tokens: int, rng: random.Random
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of about as many tokens: ids and targets, [rows, longest], padded at the end.

    Conversations of like length go together, so that little is padding.
    """
    while True:
        pool = sorted((next(drawn) for _ in range(1024)), key=lambda pair: len(pair[0]))
        groups: list[list[tuple[list[int], list[int]]]] = [[]]
        for pair in pool:
            if len(pair[0]) * (len(groups[-1]) + 1) > tokens and groups[-1]:
                groups.append([])
            groups[-1].append(pair)
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(ids) for ids, _ in group)
            yield (
                torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in group]),
                torch.tensor([t + [IGNORED] * (longest - len(t)) for _, t in group]),
            )


def losses(network: Network, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy in nats and mean squared log-partition, over the targets."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        learned = targets != IGNORED
        logits = network.logits(network(ids)[learned])
    logits = logits.float()
    entropy = functional.cross_entropy(logits, targets[learned])
    return entropy, logits.logsumexp(-1).square().mean()


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
    matrices = [p for p in network.parameters() if p.dim() == 2]
    vectors = [p for p in network.parameters() if p.dim() == 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=recipe.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    feed = batches(conversations(corpus, tokenizer, rng), recipe.tokens, rng)
    folder.mkdir(parents=True, exist_ok=True)
    start, seen, mean = time.perf_counter(), 0, 0.0
    with (folder / "log.jsonl").open("w", encoding="utf-8") as log:
        for step in range(recipe.steps):
            for group in optimiser.param_groups:
                group["lr"] = rate_at(recipe, step)
            ids, targets = next(feed)
            entropy, partition = losses(network, ids, targets)
            (entropy + recipe.normaliser * partition).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            seen += ids.numel()
            mean = entropy.item() if step == 0 else 0.98 * mean + 0.02 * entropy.item()
            if step % 50 == 49:
                spent = time.perf_counter() - start
                line = {
                    "step": step + 1,
                    "loss": round(mean, 4),
                    "tokens": seen,
                    "partition": round(partition.item(), 3),
                    "seconds": round(spent, 1),
                }
                log.write(json.dumps(line) + "\n")
                log.flush()
                say(json.dumps(line))
            if step % 200 == 199 or step + 1 == recipe.steps:
                torch.save(network.state_dict(), folder / "checkpoint.pt")
    return network
