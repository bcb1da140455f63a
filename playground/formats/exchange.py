"""Import and export of presets: which format a text is in, and the presets in any of them."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import yaml

from playground.domain.errors import InvalidRequest
from playground.domain.samplers import BY_NAME
from playground.formats import model_page, named_values, native
from playground.formats.source_lines import json_lines
from playground.formats.tgi import name_values
from playground.formats.values import Draft, Entry, Exported, Imported, Problem, Unreadable
from playground.formats.vocabulary import JSON_VOCABULARIES, OPENAI, TEXTGEN, TGI, Vocabulary

MAX_CHARS: Final = 60_000
_FLAT: Final = {each.id: each for each in (*JSON_VOCABULARIES, TEXTGEN)}
FORMATS: Final[dict[str, str]] = {
    model_page.FORMAT: model_page.LABEL,
    native.TOML: "presets file (TOML)",
    native.JSON: "presets (JSON)",
    **{each.id: each.label for each in (*reversed(JSON_VOCABULARIES), TEXTGEN)},
}
# Formats of a single preset have one object for it.
SEVERAL: Final = (model_page.FORMAT, native.TOML, native.JSON)

_DEEPEST: Final = 20  # levels of YAML
_TOML: Final = re.compile(r"^\s*(\[\[|version\s*=)", re.MULTILINE)
_YAML: Final = re.compile(r"^\s*(#.*|---|[A-Za-z_]\w*:(\s+\S.*)?)?$")


def read_presets(text: str, form: str | None = None) -> Imported:
    """The presets of a text, in the format asked for or in the one that it looks like.

    What cannot be read is in `problems`, with its line; nothing is dropped without a word.

    Args:
        text: Of at most MAX_CHARS characters.
        form: One of FORMATS.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return Imported(form or "", problems=(Problem("There is no text.", 1),))
    chosen = form or detect(text)
    if chosen == model_page.FORMAT:
        return model_page.read(text)
    if chosen == native.TOML:
        return native.read_toml(text)
    try:
        if chosen == TEXTGEN.id:
            return _interpreted(TEXTGEN, _yaml_entries(text))
        document = _json(text)
        if chosen == native.JSON:
            return native.read_json(document, text)
        vocabulary = _FLAT[chosen]
        return _interpreted(vocabulary, _json_entries(document, text, vocabulary))
    except Unreadable as error:
        return Imported(chosen, problems=error.problems)


def write_presets(drafts: Sequence[Draft], form: str) -> Exported:
    """The presets in one of FORMATS.

    Raises:
        InvalidRequest: For several presets in a format that holds one.
    """
    if not drafts or (len(drafts) > 1 and form not in SEVERAL):
        raise InvalidRequest(f"A {FORMATS[form]} holds one preset.", field="presets")
    if form == native.TOML:
        return Exported(native.write_toml(drafts), "toml")
    if form == native.JSON:
        return Exported(native.write_json(drafts), "json")
    if form == model_page.FORMAT:
        lost = named_values.losses(_PAGE, drafts)
        return Exported(model_page.write(drafts), lost.suffix, lost.left_out)
    vocabulary, draft = _FLAT[form], drafts[0]
    values = named_values.describe(vocabulary, draft)
    if vocabulary is TGI:
        values = _tgi_request(draft)
    if vocabulary is TEXTGEN:
        text = yaml.safe_dump(values, sort_keys=False) if values else "# nothing is set\n"
    else:
        text = json.dumps(values, indent=2) + "\n"
    lost = named_values.losses(vocabulary, drafts)
    return Exported(text, lost.suffix, lost.left_out, lost.notes)


def detect(text: str) -> str:
    """The format that a text looks like; our JSON's when it is JSON of no kind that we know."""
    if text.lstrip().startswith(("{", "[")):
        try:
            document = _json(text)
        except Unreadable:
            return native.JSON
        return _detect_json(document)
    if _TOML.search(text):
        return native.TOML
    lines = text.splitlines()
    keys = [line.split(":")[0].strip() for line in lines if ":" in line]
    if (
        all(_YAML.match(line) for line in lines)
        and len(set(keys)) == len(keys)
        and not re.search(r":\s*[–—-]?\s*$", text, re.MULTILINE)
    ):
        return TEXTGEN.id
    return model_page.FORMAT


_PAGE: Final = Vocabulary(model_page.FORMAT, model_page.LABEL, suffix="txt")


def _detect_json(document: dict[str, Any]) -> str:
    if "presets" in document:
        return native.JSON
    names = set(document)
    for value in document.values():
        if isinstance(value, dict):
            names |= value.keys()
    for vocabulary in JSON_VOCABULARIES:
        if names & vocabulary.signs:
            return vocabulary.id
    return OPENAI.id


def _interpreted(vocabulary: Vocabulary, entries: Sequence[Entry]) -> Imported:
    draft, left_out, notes = named_values.interpret(vocabulary, entries)
    return Imported(vocabulary.id, (draft,), tuple(left_out), notes=tuple(notes))


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise Unreadable([Problem(f"This is not JSON: {error.msg}.", error.lineno)]) from error
    except RecursionError as error:
        raise Unreadable([Problem("This is nested too deeply.")]) from error
    except ValueError as error:
        raise Unreadable([Problem("A number in this is too long.")]) from error
    if not isinstance(document, dict):
        raise Unreadable([Problem("A preset is a JSON object of names and values.", 1)])
    return document


def _json_entries(document: dict[str, Any], text: str, vocabulary: Vocabulary) -> list[Entry]:
    lines = json_lines(text)
    entries = []
    for key, value in document.items():
        if key in vocabulary.nested and isinstance(value, dict):
            entries += [Entry(k, v, lines.get((key, k))) for k, v in value.items()]
        else:
            entries.append(Entry(key, value, lines.get((key,))))
    return entries


def _yaml_entries(text: str) -> list[Entry]:
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else None
            if isinstance(event, yaml.AliasEvent):  # a few of them can stand for gigabytes
                raise Unreadable([Problem("A preset needs no aliases, and none is read.", line)])
            # Each level makes every token behind it slower to read: 5,000 of them took seconds.
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise Unreadable([Problem("A preset has no values as deep as these.", line)])
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise Unreadable([Problem("A preset is a mapping of names to values.", 1)])
        if any(not isinstance(key, yaml.ScalarNode) for key, _ in node.value):
            raise Unreadable([Problem("A name must be a plain word.", 1)])
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise Unreadable([Problem(f"This is not YAML: {error.problem}.", line)]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Unreadable([Problem(f"This is not YAML: {error}.")]) from error
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
    return [Entry(str(key), value, lines.get(str(key))) for key, value in values.items()]


def _tgi_request(draft: Draft) -> dict[str, object]:
    """TGI's parameters, in the object of a request that they stand in."""
    parameters = name_values(draft.sampler, [n for n, p in BY_NAME.items() if TGI.id in p.names])
    if draft.sampler.temperature is None and not parameters["do_sample"]:
        del parameters["do_sample"]  # TGI's own choice, as it is ours to leave it
    if draft.max_new_tokens is not None:
        parameters["max_new_tokens"] = draft.max_new_tokens
    return {"parameters": parameters}
