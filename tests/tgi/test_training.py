"""The corpus can be trained on, and the model that was answers the page's first prompts.

Nothing here needs torch: training itself is not part of the suite, nor is how well the model does
beyond that, which `make train` measures (`tests/stand_in/training/REPORT.md`).
"""

import random
from itertools import chain
from pathlib import Path

import pytest

from tests import stand_in
from tests.stand_in.training.dialogues import Talker, exchange, normalised, prompt
from tests.stand_in.training.generation import Model
from tests.stand_in.training.intents import Corpus, corpus
from tests.stand_in.training.judging import Judge
from tests.stand_in.training.templates import Slots, expand, parse
from tests.stand_in.training.tokenizer import ASSISTANT, USER

FOLDER = Path(stand_in.__file__).parent / "model"
LIMIT = 6_000_000  # bytes, all files that ship together
STARTERS = {
    "What does min_p do that top_p doesn't?": "min-p-vs-top-p",
    "Tell me a story about a lighthouse.": "story-lighthouse",
    "Name ten animals.": "name-animals",
    "How do I choose a temperature?": "temperature-choose",
    "hi": "hello",
    "Who are you?": "who-are-you",
}


@pytest.fixture(scope="module")
def written() -> Corpus:
    return corpus()


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(FOLDER)


@pytest.fixture(scope="module")
def judge(written: Corpus) -> Judge:
    return Judge(written, samples=8)


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("plain", {"plain"}),
        ("a{b|c}d", {"abd", "acd"}),
        ("{a|b{c|}}", {"a", "bc", "b"}),
        ("{s}{s}", {"xx", "xy", "yx", "yy"}),
        ("{s#k}{s#k}", {"xx", "yy"}),
        ("{p#k.0}={p#k.1}", {"1=one", "2=two"}),
        (r"\{{s}\}", {"{x}", "{y}"}),
    ],
)
def test_templates_expand(template: str, texts: set[str]) -> None:
    slots: Slots = {"s": ["x", "y"], "p": [["1", "one"], ["2", "two"]]}
    rng = random.Random(0)
    drawn = {expand(parse(template), slots, rng, {}) for _ in range(200)}
    assert drawn == texts


@pytest.mark.parametrize("template", ["{a|b", "a}", "{a|{b}"])
def test_an_unbalanced_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="brace"):
        parse(template)


def test_a_new_draw_rarely_repeats() -> None:
    slots = {"n": [str(i) for i in range(50)]}
    template, rng = parse(" ".join(["{~n!}"] * 10)), random.Random(0)
    lists = [expand(template, slots, rng, {}).split() for _ in range(300)]
    repeats = sum(10 - len(set(numbers)) for numbers in lists) / 3000
    assert 0.01 < repeats < 0.15


def test_there_are_300_intents_and_held_out_questions(written: Corpus) -> None:
    assert len(written.intents) >= 300
    assert sum(len(intent.held) for intent in written.intents.values()) >= 300
    assert all(intent.held and intent.ask and intent.say for intent in written.intents.values())


def test_rewording_and_typos_never_make_a_held_out_question(written: Corpus) -> None:
    talker, rng = Talker(written), random.Random(3)
    held = talker.reserved
    for intent in written.intents.values():
        for drawn in talker.conversation(rng, intent, 2):
            assert normalised(drawn.question) not in held


def test_every_answer_can_be_drawn_and_encoded(written: Corpus, model: Model) -> None:
    rng = random.Random(1)
    for intent in written.intents.values():
        for _ in range(3):
            text = exchange(written, intent, rng, {}).answer
            assert text
            assert text == text.strip()
            assert USER not in text
            assert ASSISTANT not in text
            ids = model.tokenizer.encode(text, add_special_tokens=False).ids
            assert model.tokenizer.decode(ids) == text


def test_tokens_do_not_depend_on_where_a_turn_is_cut(written: Corpus, model: Model) -> None:
    talker, rng = Talker(written), random.Random(2)
    for intent in list(written.intents.values())[::7]:
        *earlier, last = talker.conversation(rng, intent, 3)
        text = prompt(earlier, last.question)
        pieces = [prompt((), earlier[0].question), earlier[0].answer]
        rest = text.removeprefix("".join(pieces))
        encode = model.tokenizer.encode
        cut = [encode(piece, add_special_tokens=False).ids for piece in (*pieces, rest)]
        assert encode(text, add_special_tokens=False).ids == list(chain.from_iterable(cut))


def test_the_markers_are_text(model: Model) -> None:
    text = f"{USER}\nHi\n{ASSISTANT}\n"
    ids = model.tokenizer.encode(text).ids
    assert ids[0] == model.config["bos_token_id"]
    assert model.tokenizer.decode(ids) == text


def test_the_files_that_ship_are_small(model: Model) -> None:
    names = {path.name for path in FOLDER.iterdir()}
    needed = {"model.onnx", "tokenizer.json", "tokenizer_config.json", "config.json"}
    assert needed | {"MODEL_CARD.md"} <= names
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= LIMIT
    assert model.runtime.vocabulary == model.config["vocab_size"]
    assert model.tokenizer.get_vocab_size() == model.config["vocab_size"]


def test_the_graph_has_the_interface_of_hub_exports(model: Model) -> None:
    inputs = {value.name: (value.type, value.shape) for value in model.runtime.session.get_inputs()}
    outputs = {value.name: value.shape for value in model.runtime.session.get_outputs()}
    layers = range(model.config["num_hidden_layers"])
    heads, size = model.config["num_key_value_heads"], model.config["head_dim"]
    kinds = ("key", "value")
    past = {f"past_key_values.{layer}.{kind}" for layer in layers for kind in kinds}
    assert set(inputs) == {"input_ids", "attention_mask", "position_ids"} | past
    assert set(outputs) == {"logits"} | {f"present.{n}.{kind}" for n in layers for kind in kinds}
    for name in past:
        kind, shape = inputs[name]
        assert kind == "tensor(float)"
        assert [shape[1], shape[3]] == [heads, size]
    assert outputs["logits"][-1] == model.config["vocab_size"]


@pytest.mark.parametrize(("question", "intent"), STARTERS.items())
def test_the_first_prompts_of_the_page(
    model: Model, judge: Judge, question: str, intent: str
) -> None:
    answer = model.answer(prompt((), question))
    assert judge.intent_of(answer) == intent
    assert len(answer) > 40
