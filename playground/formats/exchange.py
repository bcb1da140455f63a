"""Import and export of presets: which format a text is in, and the presets in any of them."""

import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Final

import yaml

from playground.domain.errors import InvalidRequest
from playground.domain.samplers import BY_NAME
from playground.formats import (
    command_line,
    curl,
    lm_studio,
    model_page,
    modelfile,
    named_values,
    native,
    python_call,
)
from playground.formats.plain_values import MAX_VALUES, check_plain, shown_key
from playground.formats.source_lines import Path, json_lines
from playground.formats.tgi import name_values
from playground.formats.values import (
    Draft,
    Entry,
    Exported,
    Imported,
    LeftOut,
    Problem,
    Unreadable,
)
from playground.formats.vocabulary import (
    JSON_VOCABULARIES,
    LLAMACPP_COMMAND,
    LMSTUDIO,
    MODELFILE,
    OLLAMA,
    OPENAI,
    PYTHON,
    TEXTGEN,
    TGI,
    TRANSFORMERS,
    VLLM,
    Vocabulary,
)
from playground.formats.yaml_text import yaml_entries

MAX_CHARS: Final = 60_000
_TEXTS: Final = (TEXTGEN, MODELFILE, LLAMACPP_COMMAND, PYTHON)
_FLAT: Final = {each.id: each for each in (*JSON_VOCABULARIES, *_TEXTS)}
FORMATS: Final[dict[str, str]] = {
    model_page.FORMAT: model_page.LABEL,
    native.TOML: "presets file (TOML)",
    native.JSON: "presets (JSON)",
    **{each.id: each.label for each in (*reversed(JSON_VOCABULARIES), *_TEXTS)},
}
# Formats of a single preset have one object for it.
SEVERAL: Final = (model_page.FORMAT, native.TOML, native.JSON)

# Each of a hundred presets takes at most some 16 lines and 12 values.
_MAX_LINES: Final = 3_000
_TOML: Final = re.compile(r"[ \t]*(\[\[|version[ \t]*=)")
_YAML: Final = re.compile(r"#.*|---|[A-Za-z_]\w*:(\s.*)?")
_NO_VALUE: Final = re.compile(r".*:\s*[–—-]?")
_JSON: Final = (None, *(each.id for each in JSON_VOCABULARIES))
_OF_CURL: Final = "This is the JSON that the curl command sends; its address and headers stay out."


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
    if text.count("\n") >= _MAX_LINES:
        reason = f"A text of presets has at most {_MAX_LINES:,} lines."
        return Imported(form or "", problems=(Problem(reason, _MAX_LINES + 1),))
    found = _read_command(text, form) if form in _JSON else None
    found = _with_short_names(found or _read_as(form or detect(text), text))
    if form is None or found.drafts:
        return found
    other = read_presets(text)
    if not other.drafts or other.format in (form, model_page.FORMAT):  # which any text may be
        return found
    hint = f"This looks like another format: {FORMATS[other.format]}. Choose that one, or detect."
    return replace(found, problems=(Problem(hint), *found.problems))


def _with_short_names(found: Imported) -> Imported:
    """The same, with names of a length that presets can have here, and a word on what was cut."""
    most = native.MAX_NAME_CHARS
    drafts = tuple(replace(draft, name=draft.name[:most].rstrip()) for draft in found.drafts)
    notes = [
        f"A name has at most {most} characters here, so one is cut: {after.name}…"
        for before, after in zip(found.drafts, drafts, strict=True)
        if len(before.name) > most
    ]
    return replace(found, drafts=drafts, notes=(*found.notes, *notes)) if notes else found


def _read_command(text: str, form: str | None) -> Imported | None:
    """The presets of the JSON that stands in a command; None for a text that is none."""
    try:
        if curl.LOOKS_LIKE.match(text):
            inside, note = curl.body(text), _OF_CURL
        elif command_line.OTHERS.match(text):
            inside, own, option = command_line.json_of(text)
            form = form or own
            note = f"This is the JSON in {option}; what else the command says stays out."
        else:
            return None
    except Unreadable as error:
        return Imported(form or "", problems=error.problems)
    found = _read_as(form or detect(inside), inside)
    return replace(found, notes=(note, *found.notes)) if found.drafts else found


def _read_as(chosen: str, text: str) -> Imported:
    """The presets of a text in one of FORMATS."""
    if chosen == model_page.FORMAT:
        return model_page.read(text)
    if chosen == native.TOML:
        return native.read_toml(text)
    try:
        if chosen == TEXTGEN.id:
            return _interpreted(TEXTGEN, yaml_entries(text))
        if chosen == MODELFILE.id:
            return _interpreted(MODELFILE, modelfile.read(text))
        if chosen == LLAMACPP_COMMAND.id:
            return _interpreted(LLAMACPP_COMMAND, command_line.read(text))
        if chosen == PYTHON.id:
            return _python(text)
        twice: list[LeftOut] = []
        document = _json(text, twice)
        if chosen == native.JSON:
            if twice:
                raise Unreadable(
                    [Problem(f"{shown_key(twice[0].name)} stands twice in one object.")]
                )
            return native.read_json(document, text)
        vocabulary = _FLAT[chosen]
        if vocabulary is LMSTUDIO:
            found = _interpreted(LMSTUDIO, lm_studio.read(document, json_lines(text)), twice)
            name = document.get("name")
            drafts = tuple(
                replace(draft, name=name) if isinstance(name, str) else draft
                for draft in found.drafts
            )
            return replace(found, drafts=drafts)
        return _interpreted(
            vocabulary, _json_entries(document, json_lines(text), vocabulary), twice
        )
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
    elif vocabulary is LMSTUDIO:
        values = lm_studio.document(draft.name, values)
    elif vocabulary is OLLAMA:
        values = {"options": values}
    if vocabulary is TEXTGEN:
        text = yaml.safe_dump(values, sort_keys=False) if values else "# nothing is set\n"
    elif vocabulary is MODELFILE:
        text = modelfile.write(values)
    elif vocabulary is LLAMACPP_COMMAND:
        text = command_line.write(values)
    elif vocabulary is PYTHON:
        text = python_call.write(values)
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
    if command_line.LLAMACPP.match(text):
        return LLAMACPP_COMMAND.id
    if any(map(_TOML.match, text.split("\n"))):
        return native.TOML
    if modelfile.LOOKS_LIKE.search(text):
        return MODELFILE.id
    if python_call.LOOKS_LIKE.search(text):
        return PYTHON.id
    lines = [stripped for line in text.splitlines() if (stripped := line.strip())]
    keys = [line.partition(":")[0].rstrip() for line in lines if ":" in line]
    if (
        all(map(_YAML.fullmatch, lines))
        and len(set(keys)) == len(keys)
        and not any(map(_NO_VALUE.fullmatch, lines))
    ):
        return TEXTGEN.id
    return model_page.FORMAT


_PAGE: Final = Vocabulary(
    model_page.FORMAT, model_page.LABEL, suffix="txt", limits=("max_new_tokens",)
)


def _detect_json(document: dict[str, Any]) -> str:
    if "presets" in document:
        return native.JSON
    names = set(document)
    for value in document.values():
        if isinstance(value, dict):
            names |= value.keys()
    return (_vocabulary_of(names) or OPENAI).id


def _vocabulary_of(names: Set[str]) -> Vocabulary | None:
    """The first vocabulary that has a name of its own among these."""
    names |= {name.lower().replace("-", "_") for name in names}
    for vocabulary in JSON_VOCABULARIES:
        if names & vocabulary.signs:
            return vocabulary
    return None


def _python(text: str) -> Imported:
    """Keyword arguments, in the words of the program that has names of its own among them."""
    entries = python_call.read(text)
    if len(entries) > MAX_VALUES:
        raise Unreadable([Problem(f"Presets have at most {MAX_VALUES:,} values.")])
    vocabulary = _vocabulary_of({each.key for each in entries}) or VLLM
    # A library's own defaults are not those of a server.
    defaults = vocabulary.defaults if vocabulary is TRANSFORMERS else {}
    return replace(_interpreted(replace(vocabulary, defaults=defaults), entries), format=PYTHON.id)


def _interpreted(
    vocabulary: Vocabulary, entries: Sequence[Entry], twice: Sequence[LeftOut] = ()
) -> Imported:
    draft, left_out, notes = named_values.interpret(vocabulary, entries)
    return Imported(vocabulary.id, (draft,), (*twice, *left_out), notes=tuple(notes))


def _json(text: str, twice: list[LeftOut] | None = None) -> dict[str, Any]:
    """A JSON object. Of a name given twice, the last value counts.

    Args:
        twice: Takes the values that do not count.
    """
    superseded: list[tuple[str, object]] = []

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        earlier: dict[str, Any] = {}
        for name, value in pairs:
            if name in values:
                earlier[name] = values[name]
            values[name] = value
        superseded.extend(earlier.items())
        return values

    try:
        document = json.loads(text, object_pairs_hook=made)
    except json.JSONDecodeError as error:
        raise Unreadable([Problem(f"This is not JSON: {error.msg}.", error.lineno)]) from error
    except RecursionError as error:
        raise Unreadable([Problem("This is nested too deeply.")]) from error
    except ValueError as error:
        raise Unreadable([Problem("A number in this is too long.")]) from error
    if not isinstance(document, dict):
        raise Unreadable([Problem("A preset is a JSON object of names and values.", 1)])
    try:
        check_plain(document)
        for name, value in superseded:
            check_plain({name: value})
    except Unreadable as error:
        # Said once more with the line of the outermost name that holds it.
        [problem] = error.problems
        line = json_lines(text).get((problem.key,)) if problem.key and not problem.line else None
        raise Unreadable([Problem(problem.reason, line, problem.key)]) from error
    if twice is not None:
        twice += [named_values.superseded(Entry(n, v, None)) for n, v in superseded]
    return document


def _json_entries(
    document: Mapping[str, Any],
    lines: Mapping[Path, int],
    vocabulary: Vocabulary,
    above: Path = (),
) -> list[Entry]:
    entries = []
    for key, value in document.items():
        path = (*above, key)
        if key in vocabulary.nested and isinstance(value, dict):
            entries += _json_entries(value, lines, vocabulary, path)
        else:
            entries.append(Entry(key, value, lines.get(path)))
    return entries


def _tgi_request(draft: Draft) -> dict[str, object]:
    """TGI's parameters, in the object of a request that they stand in."""
    parameters = name_values(draft.sampler, [n for n, p in BY_NAME.items() if TGI.id in p.names])
    if draft.sampler.temperature is None and not parameters["do_sample"]:
        del parameters["do_sample"]  # TGI's own choice, as it is ours to leave it
    if draft.max_new_tokens is not None:
        parameters["max_new_tokens"] = draft.max_new_tokens
    return {"parameters": parameters}
