"""`python -m tests.stand_in.training`: corpus → tokenizer → training → files → report.

About an hour on one thread. The same versions on the same kind of machine give the same files.
"""

import argparse
import random
from dataclasses import replace
from pathlib import Path

import torch

from tests.stand_in.training import tokenizer as tokenizers_of_ours
from tests.stand_in.training.dialogues import Talker, prompt
from tests.stand_in.training.export import export
from tests.stand_in.training.intents import Corpus, corpus
from tests.stand_in.training.network import Network, Shape
from tests.stand_in.training.report import write
from tests.stand_in.training.train import Recipe, train

MODEL = Path(__file__).parents[1] / "model"
REPORT = Path(__file__).with_name("REPORT.md")
BUILD = Path("build/training")


def texts(of: Corpus) -> list[str]:
    """What the tokenizer is trained on: conversations that open with each intent in turn."""
    rng, talker = random.Random(0), Talker(of)
    drawn = []
    for _ in range(24):
        for intent in of.intents.values():
            talk = talker.conversation(rng, intent, 1)
            drawn.append(prompt(talk[:-1], talk[-1].question) + talk[-1].answer)
    return drawn


def main() -> None:
    """Trains, exports and reports; with --from-checkpoint only the last two."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(prog="python -m tests.stand_in.training", description=__doc__)
    parser.add_argument("--steps", type=int, default=recipe.steps, help="of training")
    parser.add_argument("--model", type=Path, default=MODEL, help="where the files go")
    parser.add_argument("--build", type=Path, default=BUILD, help="checkpoints and the log")
    parser.add_argument("--report", type=Path, default=REPORT, help="where the report goes")
    parser.add_argument(
        "--from-checkpoint", action="store_true", help="do not train: take the build's checkpoint"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = tokenizers_of_ours.train(texts(corpus()))
    recipe = replace(recipe, steps=arguments.steps)
    if arguments.from_checkpoint:
        network = Network(Shape())
        network.load_state_dict(torch.load(arguments.build / "checkpoint.pt"))
    else:
        network = train(corpus(), tokenizer, Shape(), recipe, arguments.build)
    export(network, tokenizer, arguments.model)
    log = arguments.build / "log.jsonl"
    write(corpus(), network, recipe, log, arguments.model, arguments.report)


main()
