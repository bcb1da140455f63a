"""An answer's request as programs that anyone can run: curl, httpx, huggingface_hub, tgi.client.

Each sends the prompt and the parameters of a receipt and prints what the engine writes: with the
seed in them, the same answer again. The engine's key is never written out; it is read from
TGI_API_KEY where the engine wants one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

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


def snippets(url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool) -> tuple[Snippet, ...]:
    """The four programs for one answer.

    Args:
        url: Where the engine answers.
        prompt: As the receipt has them.
        sent: As the receipt has them.
        keyed: Whether the engine wants a key.
    """
    return (
        Snippet("curl", "curl", "bash", _curl(url, prompt, sent, keyed=keyed)),
        Snippet("httpx", "httpx", "python", _httpx(url, prompt, sent, keyed=keyed)),
        _hub(url, prompt, sent, keyed=keyed),
        Snippet("client", "tgi.client", "python", _client(url, prompt, sent, keyed=keyed)),
    )


def _curl(url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool) -> str:
    # In a here-document with a quoted word the shell changes nothing, and no line of JSON can end
    # it: inside of its strings there are no line breaks.
    body = json.dumps({"inputs": prompt, "parameters": sent}, ensure_ascii=False, indent=2)
    key = '  -H "Authorization: Bearer $TGI_API_KEY" \\\n' if keyed else ""
    return (
        f"curl -sS --fail-with-body {_shell_word(url + '/generate')} \\\n"
        f"{key}  -H 'Content-Type: application/json' --data-binary @- <<'JSON'\n{body}\nJSON\n"
    )


def _httpx(url: str, prompt: str, sent: Mapping[str, Any], *, keyed: bool) -> str:
    headers = (
        '    headers={"Authorization": f"Bearer {os.environ[\'TGI_API_KEY\']}"},\n' if keyed else ""
    )
    return (
        f"{'import os' + chr(10) + chr(10) if keyed else ''}import httpx\n\n"
        f"prompt = {_text(prompt)}\n"
        f"parameters = {_mapping(sent)}\n"
        "response = httpx.post(\n"
        f"    {_string(url + '/generate')},\n"
        f"{headers}"
        '    json={"inputs": prompt, "parameters": parameters},\n'
        "    timeout=300,\n"
        ")\n"
        "response.raise_for_status()\n"
        'print(response.json()["generated_text"])\n'
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
    headers = (
        '    headers={"Authorization": f"Bearer {os.environ[\'TGI_API_KEY\']}"},\n' if keyed else ""
    )
    code = (
        f"{head}from huggingface_hub import TextGenerationOutput, get_session\n\n"
        f"# InferenceClient.text_generation has no {' and no '.join(foreign)}.\n"
        f"prompt = {_text(prompt)}\n"
        f"parameters = {_mapping(sent)}\n"
        "response = get_session().post(\n"
        f"    {_string(url + '/generate')},\n"
        f"{headers}"
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
    """A longer text as Python strings, a line each."""
    lines = [repr(line + "\n") for line in text.split("\n")]
    lines[-1] = repr(text.rpartition("\n")[2])
    lines = [line for line in lines if line != "''"] or ["''"]
    return "(\n" + "".join(f"    {line}\n" for line in lines) + ")"


def _mapping(values: Mapping[str, Any]) -> str:
    return "{\n" + "".join(f'    "{n}": {_value(v)},\n' for n, v in values.items()) + "}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return _string(value) if isinstance(value, str) else repr(value)
