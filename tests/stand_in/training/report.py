"""Writes REPORT.md: what was trained, how well it does, and that the export is the same model."""

import json
import platform
import random
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from tests.stand_in.training.dialogues import Exchange, exchange, prompt
from tests.stand_in.training.evaluate import examples, held_out, sampler_tables, verdicts
from tests.stand_in.training.generation import Model
from tests.stand_in.training.intents import Corpus
from tests.stand_in.training.judging import Judge, Reader
from tests.stand_in.training.network import Network
from tests.stand_in.training.templates import Bindings, every
from tests.stand_in.training.train import Recipe, answer_loss

Whole = NDArray[np.int64]
Floats = NDArray[np.float32]

# Intents whose answer depends on a word of the question.
EXACT = ("capital", "sum", "difference", "product", "animal-sound", "opposite")
PACKAGES = ("torch", "onnx", "onnxruntime", "tokenizers", "numpy")

TEMPLATE = """# The bundled model: how it was made and what it can do

Written by `python -m tests.stand_in.training`; nothing here was typed by hand.

## Corpus
{intents} intents ({openings} that open a conversation, {followups} that follow up), {templates}
question templates that expand to {questions:,} distinct questions, {answers} answer templates.
{held} held-out question templates, {asked} questions with their slots filled, are never trained on:
a training question that equals one after normalisation (case, punctuation) is drawn anew.

## Training
{parameters:,} parameters, {layers} layers of width {width}, vocabulary {vocabulary}. {steps} steps
of about {batch:,} tokens, {tokens:,} tokens in {seconds:,.0f} s on one thread of {machine}
(shared with other work). Muon for the matrices, AdamW for the rest, warm-up, constant rate, decay
to zero over the last {decay:.0%}; seed {seed}. Loss on what the assistant says only.

| Loss, nats a token | |
|---|---|
| running mean at the end of training, penalty terms left out | {running:.3f} |
| answers to {asked} training questions | {loss_train:.3f} |
| answers to the {asked} held-out questions | {loss_held:.3f} |

Much of it is choice: the corpus draws synonyms, names and list entries that nobody could predict.

## Intent accuracy on held-out questions
**{right} of {asked}, {accuracy:.1%}.** Each question is answered greedily by the exported model,
follow-ups behind a conversation from the corpus. The answer is put to the intent whose sampled
answers are nearest to it (tf-idf cosine of words and word pairs, all {labels} different intents as
candidates), and must land on its own. Picking an intent at random would give {chance:.1%}.

| Group | right | of |
|---|---|---|
{groups}

Where the answer depends on a word of the question (capitals, sums, opposites …), {exact} of
{exact_of} held-out questions got the right one.

<details><summary>All that went wrong</summary>

| Asked | of | answered like |
|---|---|---|
{wrong}

</details>

## Samplers
Readable: the share of neighbouring words that stand side by side somewhere in the corpus.
Distinct answers are counted over 12 seeds for *Tell me a story.*, *Name ten animals.* and
*How do I choose a temperature?*.

{samplers}

## Export
Largest difference of a logit between torch (weights rounded to float16) and ONNX Runtime:
{single:.1e} for single rows, {padded:.1e} for a batch padded on the left and read in two parts.
Files: {files} bytes together.

## Examples
Values of the preset AlpacaEval (temperature 0.7, top_p 0.95), seed 1.

{examples}

## Versions
Python {python}, {versions}.
"""


def parity(network: Network, model: Model, texts: list[str]) -> tuple[float, float]:
    """The largest difference of a logit, torch to ONNX Runtime: single rows, and a padded batch."""
    half = Network(network.shape)
    weights = network.state_dict().items()
    half.load_state_dict({k: v.half().float() if v.dim() == 2 else v for k, v in weights})
    session, kv = model.runtime.session, network.shape.num_key_value_heads
    rows = [model.tokenizer.encode(text).ids for text in texts]
    longest = max(map(len, rows))
    with torch.no_grad():
        wanted = [half.logits(half(torch.tensor([row])))[0].numpy() for row in rows]

    def run(ids: Whole, mask: Whole, places: Whole, past: list[Floats]) -> list[Floats]:
        named = zip((slot.past for slot in model.runtime.slots), past, strict=True)
        values: list[Floats] = session.run(
            ["logits", *(slot.present for slot in model.runtime.slots)],
            {"input_ids": ids, "attention_mask": mask, "position_ids": places, **dict(named)},
        )
        return values

    def empty(count: int) -> list[Floats]:
        shape = (count, kv, 0, network.shape.head_dim)
        return [np.zeros(shape, np.float32) for _ in model.runtime.slots]

    single = 0.0
    for row, logits in zip(rows, wanted, strict=True):
        places = np.arange(len(row))[None]
        given = run(np.array([row]), np.ones_like(places), places, empty(1))[0][0]
        single = max(single, float(np.abs(given - logits).max()))

    ids = np.array([[0] * (longest - len(row)) + row for row in rows])
    mask = np.array([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    places = np.maximum(mask.cumsum(1) - 1, 0)
    cut = longest // 2
    first, *past = run(ids[:, :cut], mask[:, :cut], places[:, :cut], empty(len(rows)))
    second = run(ids[:, cut:], mask, places[:, cut:], past)[0]
    both = np.concatenate((first, second), axis=1)
    padded = max(
        float(np.abs(both[at, longest - len(row) :] - logits).max())
        for at, (row, logits) in enumerate(zip(rows, wanted, strict=True))
    )
    return single, padded


def write(
    corpus: Corpus, network: Network, recipe: Recipe, log: Path, folder: Path, report: Path
) -> None:
    """Measures the exported model in `folder` and writes the report."""
    ort.set_default_logger_severity(3)
    rng, model, judge = random.Random(0), Model(folder), Judge(corpus)
    intents = list(corpus.intents.values())
    asked = held_out(corpus)
    judged = list(verdicts(model, judge, asked))
    known = [_training_talk(corpus, question.intent, rng) for question in asked]
    unknown = [[*q.earlier, Exchange(q.intent, q.text, q.answer)] for q in asked]
    last = json.loads(log.read_text("utf-8").splitlines()[-1])
    groups, right = Counter[str](), Counter[str]()
    for verdict in judged:
        group = corpus.intents[verdict.question.intent].group
        groups[group] += 1
        right[group] += verdict.right
    exact = [v.exact for v in judged if v.question.intent in EXACT]
    texts = [exchange(corpus, i, rng, {}).answer for i in intents for _ in range(60)]
    single, padded = parity(network, model, [prompt(q.earlier, q.text) for q in asked[:16]])
    report.write_text(
        TEMPLATE.format(
            intents=len(intents),
            openings=sum(not i.after for i in intents),
            followups=sum(bool(i.after) for i in intents),
            templates=sum(len(i.ask) for i in intents),
            questions=len({t for i in intents for ask in i.ask for t in every(ask, corpus.slots)}),
            answers=sum(len(i.say) for i in intents),
            held=sum(len(i.held) for i in intents),
            asked=len(asked),
            parameters=sum(p.numel() for p in network.parameters()),
            layers=network.shape.num_hidden_layers,
            width=network.shape.hidden_size,
            vocabulary=network.shape.vocab_size,
            steps=last["step"],
            batch=recipe.tokens,
            tokens=last["tokens"],
            seconds=last["seconds"],
            machine=platform.machine(),
            decay=recipe.decay,
            seed=recipe.seed,
            running=last["loss"],
            loss_train=answer_loss(network, model.tokenizer, known),
            loss_held=answer_loss(network, model.tokenizer, unknown),
            right=sum(v.right for v in judged),
            accuracy=sum(v.right for v in judged) / len(judged),
            labels=len(set(judge.names)),
            chance=1 / len(set(judge.names)),
            groups="\n".join(f"| {name} | {right[name]} | {groups[name]} |" for name in groups),
            exact=sum(exact),
            exact_of=len(exact),
            wrong="\n".join(
                f"| {v.question.text} | {v.question.intent} | {v.nearest} |"
                for v in judged
                if not v.right
            ),
            samplers=sampler_tables(model, Reader(texts)),
            single=single,
            padded=padded,
            files=sum(path.stat().st_size for path in folder.iterdir()),
            examples=examples(model),
            python=platform.python_version(),
            versions=", ".join(f"{name} {version(name)}" for name in PACKAGES),
        ),
        "utf-8",
    )


def _training_talk(corpus: Corpus, name: str, rng: random.Random) -> list[Exchange]:
    chain = [corpus.intents[name]]
    while chain[0].after:
        chain.insert(0, corpus.intents[rng.choice(chain[0].after)])
    bindings: Bindings = {}
    return [exchange(corpus, intent, rng, bindings) for intent in chain]
