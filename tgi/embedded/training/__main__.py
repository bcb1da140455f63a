"""`python -m tgi.embedded.training`: corpus → tokenizer → training → the files that ship → report.

About an hour on one thread. The same versions on the same kind of machine give the same files.
"""

import argparse
import random
from pathlib import Path

from tgi.embedded.training import tokenizer as tokenizers_of_ours
from tgi.embedded.training.dialogues import Talker, prompt
from tgi.embedded.training.export import export
from tgi.embedded.training.intents import Corpus, corpus
from tgi.embedded.training.network import Shape
from tgi.embedded.training.train import Recipe, train

MODEL = Path(__file__).parents[1] / "model"
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
    parser = argparse.ArgumentParser(prog="python -m tgi.embedded.training", description=__doc__)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--model", type=Path, default=MODEL, help="where the files go")
    parser.add_argument("--build", type=Path, default=BUILD, help="checkpoints and the log")
    arguments = parser.parse_args()
    tokenizer = tokenizers_of_ours.train(texts(corpus()))
    recipe = Recipe(steps=arguments.steps)
    network = train(corpus(), tokenizer, Shape(), recipe, arguments.build)
    export(network, tokenizer, arguments.model)


main()
