"""An answer's request as programs that anyone can run.

For TGI curl, httpx, huggingface_hub and tgi.client; for llama.cpp curl and httpx; for a server of
OpenAI's completions curl, httpx and the client openai. Each sends the prompt and the parameters of
a receipt and prints what the engine writes: with the seed in them, the same answer again, all of it
at once. The engine's key is never written out; where the engine wants one, it is read from
TGI_API_KEY, or from ENGINE_API_KEY for what is not TGI, and a note says who has it. One more asks
the playground itself, for what no request to an engine gives: an answer that is emulated, or longer
than one request.

What a receipt was sent to is told by its own words for the length of the answer, so that one that
is older than the engine is not misread.
"""

import json
import pprint
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

# What huggingface_hub's text_generation takes (its signature, 1.16 to 2.4).
_HUB_NAMES: Final = (
    *("best_of", "do_sample", "details", "frequency_penalty", "max_new_tokens"),
    *("repetition_penalty", "return_full_text", "seed", "stop", "temperature", "top_k", "top_p"),
    *("truncate", "typical_p"),
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """One program.

    Attributes:
        language: For highlighting.
        note: What to know about it, "" for nothing.
    """

    id: str
    label: str
    language: str
    code: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Route:
    """Where an engine takes a request, and how.

    Attributes:
        path: Behind the engine's address.
        prompt: What its JSON calls the prompt.
        nested: What its JSON calls the parameters, "" where they stand beside the prompt.
        text: Where the answer's text is in the engine's.
        key: The variable with its key.
    """

    path: str
    prompt: str
    nested: str
    text: str
    key: str


_TGI: Final = _Route("/generate", "inputs", "parameters", '["generated_text"]', "TGI_API_KEY")
_LLAMACPP: Final = _Route("/completion", "prompt", "", '["content"]', "ENGINE_API_KEY")
_OPENAI: Final = _Route("/v1/completions", "prompt", "", '["choices"][0]["text"]', "ENGINE_API_KEY")

# What the client's completions.create takes; the rest goes into its extra_body.
_OPENAI_NAMES: Final = (
    *("best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n"),
    *("presence_penalty", "seed", "stop", "suffix", "temperature", "top_p", "user"),
)
# TGI holds to max_new_tokens up to here only; receipts were once sent more.
_TGI_LONGEST: Final = 1024
# Nobody reads more strings of a prompt than these.
_MOST_STRINGS: Final = 2_000
# An answer is read here when it is whole.
_STREAMING: Final = ("stream", "stream_options")
# Where the key that an engine wants is from: "drawn" is new at each start of `playground demo`.
EngineKey = Literal["none", "given", "drawn"]
_KEYS: Final[Mapping[EngineKey, str]] = {
    "given": "Whoever runs this playground has it.",
    "drawn": "“playground demo” makes a new one at each start, which nobody is shown; started with "
    "PLAYGROUND_ENGINE_API_KEY, it takes that one instead.",
}
_LOGINS: Final = {
    "none": "",
    "users": "Its login is read from PLAYGROUND_USER and PLAYGROUND_PASSWORD. ",
    "proxy": "A proxy in front of this playground asks who you are, which the program does not "
    "say: add the header or the cookie that it wants. ",
}


def snippets(
    url: str,
    prompt: str,
    sent: Mapping[str, Any],
    *,
    key: EngineKey = "none",
    model: str = "",
) -> tuple[Snippet, ...]:
    """The programs for one answer, each with a note on the key that it needs.

    Args:
        url: Where the engine answers.
        prompt: As the receipt has them.
        sent: As the receipt has them.
        key: Where the one that the engine wants is from.
        model: By which a server of OpenAI's completions knows the one that answered.
    """
    programs = _programs(url, prompt, sent, keyed=key != "none", model=model)
    if key == "none":
        return programs
    name = _route(sent).key
    words = f"It needs the engine's key in {name}. {_KEYS[key]}"
    return tuple(replace(each, note=f"{words} {each.note}".rstrip()) for each in programs)


def _route(sent: Mapping[str, Any]) -> _Route:
    """Where the parameters of a receipt were sent."""
    return _LLAMACPP if "n_predict" in sent else _OPENAI if "max_tokens" in sent else _TGI


def _programs(
    url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool, model: str
) -> tuple[Snippet, ...]:
    route = _route(sent)
    whole = {name: value for name, value in sent.items() if name not in _STREAMING}
    if route is _LLAMACPP:
        return _plain(_LLAMACPP, url, prompt, whole, keyed=keyed)
    if route is _OPENAI:
        url = url.rstrip("/").removesuffix("/v1")
        named = {"model": model, **whole} if model else whole
        return (
            *_plain(_OPENAI, url, prompt, named, keyed=keyed),
            Snippet("openai", "openai", "python", _openai(url, prompt, named, keyed=keyed)),
        )
    asked = dict(sent)
    if isinstance(most := sent.get("max_new_tokens"), int):
        asked["max_new_tokens"] = min(most, _TGI_LONGEST)
    return (
        *_plain(_TGI, url, prompt, asked, keyed=keyed),
        _hub(url, prompt, asked, keyed=keyed),
        Snippet("client", "tgi.client", "python", _client(url, prompt, asked, keyed=keyed)),
    )


def playground_snippet(
    url: str, body: Mapping[str, Any], *, auth: Literal["none", "users", "proxy"]
) -> Snippet:
    """The program that asks a playground for an answer, by its own API.

    Args:
        url: Where the playground answers.
        body: Of POST /api/stream, with one pane.
        auth: By what it knows who asks, as in its settings.
    """
    login = auth == "users"
    enter = (
        "    entry = {\n"
        '        "name": os.environ["PLAYGROUND_USER"],\n'
        '        "password": os.environ["PLAYGROUND_PASSWORD"],\n'
        "    }\n"
        f"    client.post({_string(url + '/login')}, data=entry)\n"
    )
    code = (
        f"{'import os' + chr(10) if login else ''}import sys\n\n"
        "import httpx\nfrom httpx_sse import connect_sse\n\n"
        f"url = {_string(url + '/api/stream')}\n"
        f"body = {pprint.pformat(body, width=88, sort_dicts=False)}\n"
        "with httpx.Client(timeout=300) as client:\n"
        f"{enter if login else ''}"
        '    with connect_sse(client, "POST", url, json=body) as source:\n'
        "        if source.response.is_error:\n"
        "            sys.exit(source.response.read().decode())\n"
        "        for event in source.iter_sse():\n"
        '            if event.event == "delta":\n'
        '                print(event.json()["text"], end="", flush=True)\n'
        '            elif event.event == "notice":\n'
        '                print(event.json()["text"], file=sys.stderr)\n'
        '            elif event.event == "error":\n'
        '                sys.exit(event.json()["message"])\n'
        "print()\n"
    )
    note = (
        f"{_LOGINS[auth]}It asks this playground instead of its engine, and so has what no request "
        "to the engine gives: parameters that are emulated, and answers that take several requests."
    )
    return Snippet("playground", "playground", "python", code, note)


def _plain(
    route: _Route, url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool
) -> tuple[Snippet, Snippet]:
    """The two programs that need no client of the engine's."""
    return (
        Snippet("curl", "curl", "bash", _curl(route, url, prompt, sent, keyed=keyed)),
        Snippet("httpx", "httpx", "python", _httpx(route, url, prompt, sent, keyed=keyed)),
    )


def _curl(route: _Route, url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool) -> str:
    # In a here-document with a quoted word the shell changes nothing, and no line of JSON can end
    # it: inside of its strings there are no line breaks.
    fields = {route.nested: sent} if route.nested else sent
    body = json.dumps({route.prompt: prompt, **fields}, ensure_ascii=False, indent=2)
    key = f'  -H "Authorization: Bearer ${route.key}" \\\n' if keyed else ""
    return (
        f"curl -sS --fail-with-body {_shell_word(url + route.path)} \\\n"
        f"{key}  -H 'Content-Type: application/json' --data-binary @- <<'JSON'\n{body}\nJSON\n"
    )


def _httpx(route: _Route, url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool) -> str:
    fields = f'"{route.nested}": parameters' if route.nested else "**parameters"
    return (
        f"{'import os' + chr(10) + chr(10) if keyed else ''}import httpx\n\n"
        f"prompt = {_text(prompt)}\n"
        f"parameters = {_mapping(sent)}\n"
        "response = httpx.post(\n"
        f"    {_string(url + route.path)},\n"
        f"{_headers(route.key) if keyed else ''}"
        f'    json={{"{route.prompt}": prompt, {fields}}},\n'
        "    timeout=300,\n"
        ")\n"
        "response.raise_for_status()\n"
        f"print(response.json(){route.text})\n"
    )


def _headers(key: str) -> str:
    return f'    headers={{"Authorization": f"Bearer {{os.environ[\'{key}\']}}"}},\n'


def _openai(url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool) -> str:
    # The client wants a key, also where the server does not.
    key = f'os.environ["{_OPENAI.key}"]' if keyed else '"none"'
    named = {"model": "", **{n: v for n, v in sent.items() if n in ("model", *_OPENAI_NAMES)}}
    beside = {name: value for name, value in sent.items() if name not in named}
    arguments = "".join(f"    {name}={_value(value)},\n" for name, value in named.items())
    extra = _mapping(beside).replace("\n", "\n    ")
    return (
        f"{'import os' + chr(10) + chr(10) if keyed else ''}from openai import OpenAI\n\n"
        f"prompt = {_text(prompt)}\n"
        f"client = OpenAI(base_url={_string(url + '/v1')}, api_key={key}, timeout=300)\n"
        "answer = client.completions.create(\n"
        f"    prompt=prompt,\n{arguments}"
        f"{f'    extra_body={extra},{chr(10)}' if beside else ''}"
        ")\n"
        "print(answer.choices[0].text)\n"
    )


def _hub(url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool) -> Snippet:
    foreign = [name for name in sent if name not in _HUB_NAMES]
    head = "import os\n\n" if keyed else ""
    if not foreign:
        # By itself it sends a Hub token that is stored on this machine to whatever engine it asks.
        token = 'token=os.environ["TGI_API_KEY"]' if keyed else 'headers={"authorization": ""}'
        named = "".join(f"    {name}={_value(value)},\n" for name, value in sent.items())
        code = (
            f"{head}from huggingface_hub import InferenceClient\n\n"
            f"prompt = {_text(prompt)}\n"
            f"client = InferenceClient({_string(url)}, {token}, timeout=300)\n"
            f"answer = client.text_generation(\n    prompt,\n{named})\n"
            f"print({'answer.generated_text' if sent.get('details') else 'answer'})\n"
        )
        return Snippet("huggingface_hub", "huggingface_hub", "python", code)
    verb = "is" if len(foreign) == 1 else "are"
    note = (
        f"{' and '.join(foreign)} {verb} not among the arguments of "
        "InferenceClient.text_generation, so this sends the request through huggingface_hub's "
        "session and reads the answer with its types."
    )
    code = (
        f"{head}from huggingface_hub import TextGenerationOutput, get_session\n\n"
        f"# InferenceClient.text_generation has no {' and no '.join(foreign)}.\n"
        f"prompt = {_text(prompt)}\n"
        f"parameters = {_mapping(sent)}\n"
        "response = get_session().post(\n"
        f"    {_string(url + '/generate')},\n"
        f"{_headers(_TGI.key) if keyed else ''}"
        '    json={"inputs": prompt, "parameters": parameters},\n'
        "    timeout=300,\n"
        ")\n"
        "response.raise_for_status()\n"
        "answer = TextGenerationOutput.parse_obj_as_instance(response.json())\n"
        "print(answer.generated_text)\n"
    )
    return Snippet("huggingface_hub", "huggingface_hub", "python", code, note)


def _client(url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool) -> str:
    key = ', api_key=os.environ["TGI_API_KEY"]' if keyed else ""
    return (
        f"import asyncio\n{'import os' + chr(10) if keyed else ''}\n"
        "from tgi.client import TGIClient\n\n"
        f"prompt = {_text(prompt)}\n"
        f"parameters = {_mapping(sent)}\n\n\n"
        "async def main() -> None:\n"
        f"    async with TGIClient({_string(url)}{key}) as client:\n"
        "        async for output in client.stream(prompt, parameters):\n"
        "            if not output.token.special:\n"
        '                print(output.token.text, end="", flush=True)\n'
        "    print()\n\n\n"
        "asyncio.run(main())\n"
    )


def _shell_word(text: str) -> str:
    """The text as one word of a shell."""
    return text if re.fullmatch(r"[\w:/.@%+-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _string(text: str) -> str:
    """A Python string, in double quotes unless it holds some."""
    return f'"{text}"' if re.fullmatch(r"[\w:/.@%+ -]*", text) else repr(text)


def _text(text: str) -> str:
    """A longer text as Python strings, a line each; where there are very many, several lines."""
    lines = text.split("\n")
    together = 1 + len(lines) // _MOST_STRINGS
    parts = ["\n".join(lines[at : at + together]) for at in range(0, len(lines), together)]
    strings = [repr(f"{part}\n") for part in parts[:-1]]
    if parts[-1] or not strings:
        strings.append(repr(parts[-1]))
    return "(\n" + "".join(f"    {string}\n" for string in strings) + ")"


def _mapping(values: Mapping[str, Any]) -> str:
    return "{\n" + "".join(f'    "{n}": {_value(v)},\n' for n, v in values.items()) + "}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return _string(value) if isinstance(value, str) else repr(value)
