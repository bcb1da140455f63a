"""Presets out of other programs' formats and into them."""

import json
import re
import sys
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.domain.errors import InvalidRequest
from playground.domain.presets import load_presets
from playground.domain.samplers import BY_NAME, PARAMETERS, Sampler
from playground.formats.bodies import imported_json
from playground.formats.exchange import FORMATS, SEVERAL, read_presets, write_presets
from playground.formats.native import MAX_NAME_CHARS
from playground.formats.tgi import name_values
from playground.formats.values import Draft, Imported
from tests.mutations import mutated_text
from tests.stock import playground

PAGE = """Popular Sampler Settings

Top 3 parameter combinations used by Featherless users for this model. Click a tab to see each config.

Config 1
temperature
0.7
top_p
0.95
top_k
–
frequency_penalty
–
presence_penalty
-
repetition_penalty
—
min_p

Config 2
temperature
1
top_p
1
top_k
40
frequency_penalty
0.3
presence_penalty
0.2
repetition_penalty
1.1
min_p
0.05
Config 3
temperature: 0,9
Top P = 0.9
top-k 40
frequency_penalty
presence_penalty
repetition_penalty
min_p
"""  # noqa: E501

SAMPLES: dict[str, tuple[str, str, list[Sampler]]] = {
    "the model page, three tabs": (
        PAGE,
        "page",
        [
            Sampler(temperature=0.7, top_p=0.95),
            Sampler(1.0, 1.0, 40, 0.3, 0.2, 1.1, 0.05),
            Sampler(temperature=0.9, top_p=0.9, top_k=40),
        ],
    ),
    "a presets file": (
        'version = 2\n[[preset]]\nid = "a"\nname = "A"\n[preset.sampler]\ntop_k = 40\n',
        "toml",
        [Sampler(top_k=40)],
    ),
    "a link's JSON": (
        '{"version": 1, "presets": [{"name": "A", "sampler": {"min_p": 0.1}}]}',
        "json",
        [Sampler(min_p=0.1)],
    ),
    "OpenAI": (
        '{"model": "gpt-4o", "messages": [], "temperature": 0.5, "presence_penalty": 0.6,'
        ' "max_completion_tokens": 300, "logit_bias": {"50256": -100}}',
        "openai",
        [Sampler(temperature=0.5, presence_penalty=0.6)],
    ),
    "vLLM with extra_body": (
        '{"model": "m", "temperature": 0.8, "extra_body": {"top_k": -1, "min_p": 0.05,'
        ' "repetition_penalty": 1.05}}',
        "vllm",
        [Sampler(temperature=0.8, top_k=0, min_p=0.05, repetition_penalty=1.05)],
    ),
    "SGLang": (
        '{"text": "Hi", "sampling_params": {"temperature": 0, "max_new_tokens": 32,'
        ' "frequency_penalty": 0.1}}',
        "vllm",
        [Sampler(temperature=0.0, frequency_penalty=0.1)],
    ),
    "llama.cpp": (
        '{"prompt": "Hi", "n_predict": 128, "temperature": 0.6, "repeat_penalty": 1.18,'
        ' "repeat_last_n": 64, "top_k": 40, "mirostat": 0}',
        "llamacpp",
        [Sampler(temperature=0.6, repetition_penalty=1.18, top_k=40)],
    ),
    "TGI": (
        '{"inputs": "Hi", "parameters": {"do_sample": true, "top_p": 0.9,'
        ' "frequency_penalty": 0.5, "max_new_tokens": 20, "seed": 7}}',
        "tgi",
        [Sampler(top_p=0.9, frequency_penalty=0.5)],
    ),
    "SillyTavern": (
        '{"temp": 0.9, "top_p": 1, "min_p": 0.1, "rep_pen": 1.1, "rep_pen_range": 1024,'
        ' "freq_pen": 0, "presence_pen": 0.2, "tfs": 0.9, "top_a": 0, "genamt": 350,'
        ' "tempp": 1}',
        "sillytavern",
        [
            Sampler(
                temperature=0.9,
                top_p=1.0,
                min_p=0.1,
                repetition_penalty=1.1,
                frequency_penalty=0.0,
                presence_penalty=0.2,
            )
        ],
    ),
    "a curl command": (
        "# As the manual has it\n$ curl https://a.b/v1/completions?c=d&e=f \\\n"
        '  -sSH "Authorization: Bearer $KEY" \\ \n'
        """  -d '{"model": "m", "prompt": "It'\\''s", "temperature": 0.7,\n"""
        """  "top_p": '"0.9"', "top_k": 40, "min_p": 7}' | base64 -d\n""",
        "vllm",
        [Sampler(temperature=0.7, top_p=0.9, top_k=40)],
    ),
    "a curl command of a browser": (
        r"""curl 'a.b' --data-raw $'{"inputs": "It\'s\u0021",\n"parameters": {"top_k": 5}}'""",
        "tgi",
        [Sampler(top_k=5)],
    ),
    "a curl command of Windows": (
        'curl.exe http://a.b ^\r\n --json "{\\"temperature\\": 0.5,"  --json="\\"n_predict\\": 9}"',
        "llamacpp",
        [Sampler(temperature=0.5)],
    ),
    "a command for llama-cli": (
        "# As a card has it\n$ CUDA_VISIBLE_DEVICES=0 ./build/bin/llama-cli \\\n"
        '  -m model.gguf -p "--temp 9, it\'s" \\\n  --temp 0.8 --top_k 40 --min-p 0.05 \\\n'
        "  --repeat-penalty 1.1 --presence-penalty -0.5 -n 256 --mirostat 2 --seed 7 -c 99 -cnv\n",
        "llamacpp_command",
        [Sampler(0.8, top_k=40, presence_penalty=-0.5, repetition_penalty=1.1, min_p=0.05)],
    ),
    "a command for llama-server": (
        "llama-server -m m.gguf --temp 0.8 --top-p 0.9 --top-k 40 --port 80 | tee log",
        "llamacpp_command",
        [Sampler(0.8, 0.9, 40)],
    ),
    "a command for llama.cpp of before": (
        './main -ngl 35 -m m.gguf --color --temp 0.7 --repeat_penalty 1.1 -n -1 -p "[INST]"',
        "llamacpp_command",
        [Sampler(0.7, repetition_penalty=1.1)],
    ),
    "a command of Windows": (
        "C:\\llama\\llama-cli.exe -m m.gguf ^\r\n --temp 0.5",
        "llamacpp_command",
        [Sampler(temperature=0.5)],
    ),
    "a command for a container": (
        "docker run -p 8080:8080 ghcr.io/ggml-org/llama.cpp:server -m m.gguf --temperature 0.4",
        "llamacpp_command",
        [Sampler(temperature=0.4)],
    ),
    "a fence of Markdown": (
        "```bash\nllama-run model --temp 0.5\n```\n",
        "llamacpp_command",
        [Sampler(temperature=0.5)],
    ),
    "options alone": ("--temp=0.6 --top-p 0.95", "llamacpp_command", [Sampler(0.6, 0.95)]),
    "a command for vLLM": (
        'vllm serve m \\\n --override-generation-config \'{"temperature": 0.5,\n"top_k": 7}\'',
        "vllm",
        [Sampler(0.5, top_k=7)],
    ),
    "a command for KoboldCpp": (
        "python3 koboldcpp.py --model m.gguf --gendefaults='{\"rep_pen\": 1.1}'",
        "koboldcpp",
        [Sampler(repetition_penalty=1.1)],
    ),
    "textgen": (
        "# Divine\ntemperature: 1.31\ntop_p: 0.14\nepsilon_cutoff: 1.49\n"
        "repetition_penalty: 1.17\ntop_k: 49\n",
        "textgen",
        [Sampler(temperature=1.31, top_p=0.14, repetition_penalty=1.17, top_k=49)],
    ),
    "generation_config.json": (
        '{"bos_token_id": 1, "eos_token_id": 2, "do_sample": false, "temperature": 0.6,'
        ' "top_p": 0.9, "transformers_version": "4.38.0"}',
        "transformers",
        [Sampler(temperature=0.0)],
    ),
    "LM Studio": (
        '{"identifier": "@local:tales", "name": "Tales", "operation": {"fields": ['
        '{"key": "llm.prediction.temperature", "value": 0.7},'
        '{"key": "llm.prediction.topKSampling", "value": 30},'
        '{"key": "llm.prediction.minPSampling", "value": {"checked": false, "value": 0.05}},'
        '{"key": "llm.prediction.repeatPenalty", "value": {"checked": true, "value": 1.15}}]},'
        ' "load": {"fields": [{"key": "llm.load.contextLength", "value": 4096}]}}',
        "lmstudio",
        [Sampler(temperature=0.7, top_k=30, repetition_penalty=1.15)],
    ),
    "LM Studio before": (
        '{"name": "Old", "inference_params": {"temp": 0.6, "top_p": 0.9, "repeat_penalty": 1.2,'
        ' "n_predict": -1, "antiprompt": ["x"]}}',
        "lmstudio",
        [Sampler(temperature=0.6, top_p=0.9, repetition_penalty=1.2)],
    ),
    "Ollama": (
        '{"model": "m", "prompt": "Hi", "stream": false, "options": {"temperature": 0.5,'
        ' "top_k": 25, "repeat_penalty": 1.05, "num_predict": 60, "num_ctx": 8192}}',
        "ollama",
        [Sampler(temperature=0.5, top_k=25, repetition_penalty=1.05)],
    ),
    "Modelfile": (
        'FROM base\n# warm\nPARAMETER temperature 0.9\nPARAMETER stop "</s>"\n'
        'SYSTEM """You are\nPARAMETER top_k 3\n"""\nparameter min_p 0.1\n'
        "PARAMETER num_predict 70\n",
        "modelfile",
        [Sampler(temperature=0.9, min_p=0.1)],
    ),
    "KoboldCpp": (
        '{"prompt": "Hi", "max_context_length": 4096, "max_length": 90, "rep_pen": 1.08,'
        ' "temperature": 0.6, "top_p": 0.9, "typical": 1, "sampler_order": null}',
        "koboldcpp",
        [Sampler(temperature=0.6, top_p=0.9, repetition_penalty=1.08)],
    ),
    "Python, vLLM": (
        "params = SamplingParams(  # temperature=2\n    temperature=0.4,\n    top_p=0.7,\n"
        "    top_k=-1,\n    max_tokens=256,\n)\n",
        "python",
        [Sampler(temperature=0.4, top_p=0.7, top_k=0)],
    ),
    "Python, OpenAI": (
        'client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}],'
        ' temperature=0.3, presence_penalty=0.5, extra_body={"top_k": 12, "min_p": 0.02})',
        "python",
        [Sampler(temperature=0.3, presence_penalty=0.5, top_k=12, min_p=0.02)],
    ),
    "Python, transformers": (
        "model.generate(**inputs, do_sample=False, max_new_tokens=99, temperature=0.6)",
        "python",
        [Sampler(temperature=0.0)],
    ),
    "TGI's do_sample alone": (
        '{"parameters": {"do_sample": true, "details": true}}',
        "tgi",
        [Sampler(temperature=1.0)],
    ),
}

MALFORMED = {
    "a value that is none": ("temperature\nwarm\ntop_p\n", "page", 2, "temperature"),
    "out of range": ('{\n  "temp": 9,\n  "rep_pen": 9\n}', "sillytavern", 2, "temp"),
    "JSON that breaks off": ('{\n  "temp": 0.9,\n  "top_p": ', "json", 3, None),
    "a wrong kind": ('{"parameters": {\n"top_k": "many"}}', "tgi", 2, "top_k"),
    "YAML that is none": ("temperature: 0.7\ntop_p: [0.9\n", "textgen", 3, None),
    "a version to come": ('{"version": 9,\n "presets": []}', "json", 1, "version"),
    "an unknown key": (
        'version = 2\n[[preset]]\nid = "a"\nname = "A"\ntop_k = 3\n', "toml", 5, "top_k"
    ),
    "TOML that is none": ('version = 2\n[[preset]\nid = "a"\n', "toml", 2, None),
    "nothing": ("Hello!\nThis is about cats.", "page", 1, None),
    "in the second of two": (
        '{"version": 1, "presets": [\n{"name": "A"},\n{"name": "B",\n"sampler": {"top_p": 7}}]}',
        "json", 4, "top_p",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "form", "samplers"), SAMPLES.values(), ids=SAMPLES)
def test_reads_a_sample(text: str, form: str, samplers: list[Sampler]) -> None:
    found = read_presets(text)
    assert (found.format, found.problems) == (form, ())
    assert [draft.sampler for draft in found.drafts] == samplers
    assert read_presets(text, form) == found


def test_a_dash_before_the_next_set_is_no_name() -> None:
    found = read_presets("temperature\n0.7\ntop_p\n–\ntemperature\n0.8\nmin_p\n0.1\ntemperature\n1")
    assert [(draft.name, draft.sampler) for draft in found.drafts] == [
        ("", Sampler(temperature=0.7)),
        ("", Sampler(temperature=0.8, min_p=0.1)),
        ("", Sampler(temperature=1.0)),
    ]


def test_takes_names_and_limits_along() -> None:
    assert [draft.name for draft in read_presets(PAGE).drafts] == [f"Config {i}" for i in (1, 2, 3)]
    assert [draft.name for draft in read_presets(SAMPLES["LM Studio"][0]).drafts] == ["Tales"]
    for sample, limit in (
        *(("OpenAI", 300), ("llama.cpp", 128), ("SGLang", 32), ("TGI", 20), ("Ollama", 60)),
        *(("Modelfile", 70), ("KoboldCpp", 90), ("Python, vLLM", 256)),
        *(("a command for llama-cli", 256), ("a command for llama.cpp of before", None)),
        *(("Python, transformers", 99), ("LM Studio", None), ("LM Studio before", None)),
    ):
        assert read_presets(SAMPLES[sample][0]).drafts[0].max_new_tokens == limit


@pytest.mark.parametrize(("text", "form", "line", "key"), MALFORMED.values(), ids=MALFORMED)
def test_says_where_a_text_cannot_be_read(text: str, form: str, line: int, key: str | None) -> None:
    found = read_presets(text)
    assert (found.format, found.drafts) == (form, ())
    problem = found.problems[0]
    assert (problem.line, problem.key) == (line, key)
    assert problem.reason.endswith((".", ")."))


def test_reads_the_model_pages_text_with_nothing_set() -> None:
    found = read_presets("\n".join(["Click a tab to see each config.", "", *BY_NAME]))
    assert [draft.sampler for draft in found.drafts] == [Sampler()]
    assert found.notes == ("Every parameter is unset in this text.",)


def test_lists_what_it_leaves_out_and_tells_what_matters() -> None:
    by_name = {each.name: each for each in read_presets(SAMPLES["SillyTavern"][0]).left_out}
    assert by_name["tfs"].effect
    assert by_name["rep_pen_range"].effect
    assert not by_name["top_a"].effect
    assert "is temp meant?" in by_name["tempp"].reason
    config = read_presets(SAMPLES["generation_config.json"][0])
    assert {each.name for each in config.left_out} == {
        *("temperature", "top_p", "bos_token_id", "eos_token_id", "transformers_version")
    }
    assert config.notes == ("do_sample false is greedy decoding: temperature 0 here.",)


def test_what_a_curl_command_says_beside_the_values_is_left_out_with_its_place() -> None:
    found = read_presets(SAMPLES["a curl command"][0])
    assert [(each.name, each.line, each.effect) for each in found.left_out] == [
        ("min_p", 5, True),
        ("model", 4, False),
        ("prompt", 4, False),
    ]
    assert found.notes[0].startswith("This is the JSON that the curl command sends")


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("curl a.b", "sends nothing", 1),
        ("curl a.b \\\n-d @body.json", r"a file of its own \(body.json\), which is not here", 2),
        ("curl a.b --data-raw @body.json", "is no JSON", 1),
        ('curl a.b -d \'{"top_k":', "has no end", 1),
        ("curl a.b -d 'a=b'", "is no JSON", 1),
        ("curl a.b -d '{\"top_k\": 1}'\ncurl a.b -d '{\"top_k\": 2}'", "several texts", 2),
        ("curl a.b -d '{\n\"top_k\": x}'", "This is not JSON", 2),
        ("curl a.b -d", "is no JSON", 1),
    ],
)
def test_a_curl_command_without_a_preset_in_it_is_refused_in_words(
    text: str, reason: str, line: int
) -> None:
    found = read_presets(text)
    assert found.drafts == ()
    assert re.search(reason, found.problems[0].reason)
    assert found.problems[0].line == line


def test_what_a_llama_command_says_beside_the_values_is_left_out_with_its_place() -> None:
    found = read_presets(SAMPLES["a command for llama-cli"][0])
    assert [(each.name, each.value, each.line, each.effect) for each in found.left_out] == [
        ("-m", "model.gguf", 3, False),
        ("-p", "--temp 9, it's", 3, False),
        ("--mirostat", 2, 5, True),
        ("--seed", 7, 5, True),
        ("-c", 99, 5, False),
        ("-cnv", True, 5, False),
    ]
    assert found.notes == (
        "Not named here, so unset in the preset: llama.cpp itself takes top_p 0.95.",
    )
    command = (
        "llama-cli word --tempp 0.5 --top-k 3 -np 4 --color --dry-base 2 --xtc-threshold 0.2 "
        '--xtc-probability 0.5 --samplers "top_k;temperature" --ignore-eos'
    )
    lost = {"--tempp": 0.5, "--xtc-threshold": 0.2, "--xtc-probability": 0.5, "--ignore-eos": True}
    assert losses(command, effect=True) == {**lost, "--samplers": "top_k;temperature"}
    assert losses(command, effect=False) == {
        "word": "word", "-np": 4, "--color": True, "--dry-base": 2
    }  # fmt: skip
    tempp = next(each for each in read_presets(command).left_out if each.name == "--tempp")
    assert "is --temp meant?" in tempp.reason


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("ollama run mistral", "ollama run has no options for samplers", 1),
        ("vllm serve m --port 80", "it has no --override-generation-config", 1),
        ("koboldcpp --model m.gguf", "it has no --gendefaults", 1),
        ("vllm serve m \\\n --override-generation-config '{\n\"top_k\": x}'", "not JSON", 3),
        ("llama-server -m m.gguf", "none of the seven parameters", 1),
        ("llama-cli --temp 0.7 \\\n -p 'Hi", "has no end", 2),
    ],
)
def test_a_command_that_starts_a_model_without_a_preset_in_it_is_refused_in_words(
    text: str, reason: str, line: int
) -> None:
    found = read_presets(text)
    assert found.drafts == ()
    assert reason in found.problems[0].reason
    assert found.problems[0].line == line


@pytest.mark.parametrize("form", ["llamacpp", "toml", "textgen", "page"])
def test_a_text_in_another_format_than_the_chosen_one_is_told_which(form: str) -> None:
    found = read_presets(SAMPLES["a command for llama-server"][0], form)
    assert (found.format, found.drafts) == (form, ())
    assert found.problems[0].reason == (
        "This looks like another format: llama.cpp command line. Choose that one, or detect."
    )
    assert len(found.problems) == 2


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        *("{" * 5000, "[" * 5000, "a: " + "[" * 5000, "a: &a [*a]", LAUGHS),
        *(f'{{"temp": {"1" * 5000}}}', f"version = {'2' * 5000}", f"top_k: {'1' * 5000}"),
        *("{}", "temperature\n1e999", '{"temp": 1e999}', '{"temp": NaN}', "\x00", "---\n"),
    ],
    ids=lambda text: text[:12],
)
def test_survives_what_was_made_to_break_it(text: str) -> None:
    found = read_presets(text)
    assert isinstance(found, Imported)
    orjson.dumps(imported_json(found))
    assert found.problems


# What cannot be a preset, with the line that its refusal names.
REFUSED: dict[str, tuple[str, str | None, int | None]] = {
    "TOML whose version is a list": ("version = [1]", None, 1),
    "TOML whose version is true": ("version = true", None, 1),
    "TOML with a name of many parts": (f"version = 1\n{'.'.join(['a'] * 29_000)} = 1", None, 2),
    "TOML with a header of many parts": (f"version = 1\n[{'.'.join(['a'] * 200)}]", None, 2),
    "TOML with dots behind strings": (
        f'version = 2\nx = {{a = """ " """, {".".join(["a"] * 150)} = 1}}', None, 2
    ),
    "TOML limit of 26 digits": (
        f'version = 2\n[[preset]]\nid = "a"\nname = "A"\nmax_new_tokens = {"9" * 26}', None, 5
    ),
    "TOML number of 50,000 digits": (f"version = 0x{'f' * 50_000}", None, 1),
    "TOML sampler of 50,000 digits": (
        f'version = 2\n[[preset]]\nid="a"\nname="A"\n[preset.sampler]\ntop_k = 0x{"f" * 50_000}',
        None, 6,
    ),
    "TOML infinity": (
        'version = 2\n[[preset]]\nid="a"\nname="A"\n[preset.sampler]\ntop_k = inf', None, 6
    ),
    "TOML date": (
        'version = 2\n[[preset]]\nid="a"\nname="A"\nmax_new_tokens = 1979-05-27', None, 5
    ),
    "TOML name twice": ("version = 2\nversion = 2", None, 2),
    "JSON of 900 levels": ('{"a":' * 900 + "1" + "}" * 900, None, 1),
    "JSON of 900 levels of lists": ('{\n"temp":' + "[" * 900 + "]" * 900 + "}", None, 2),
    "JSON of 50,000 levels": ("[" * 50_000, None, None),
    "JSON with half of a character": ('{\n"temp": "\\ud800"}', None, 2),
    "JSON with half of a character in a name": ('{"\\udfff": 1}', None, None),
    "JSON preset with half of a character": (
        '{"version": 1,\n"presets": [{"name": "\\ud83d"}]}', None, 2
    ),
    "JSON preset of 26 digits": (
        '{"version": 1, "presets": [{\n"max_new_tokens": ' + "9" * 26 + "}]}", None, 2
    ),
    "JSON NaN": ('{"temp":\nNaN}', None, 1),
    "JSON digits": ('{"temp": ' + "1" * 5000 + "}", None, None),
    "JSON digits in range of Python": ('{"temp":\n' + "1" * 4000 + "}", None, 1),
    "JSON of too many values": ('{"a": [' + "1," * 25_000 + "1]}", None, None),
    "YAML of many levels": ("a: " + "[" * 50_000, "textgen", 1),
    "YAML of many levels of lines": ("- " * 29_000, "textgen", 1),
    "YAML of too many values": ("a: [" + "1," * 29_000 + "]", "textgen", 1),
    "YAML of a long set": ("{" + "a," * 29_000 + "}", "textgen", 1),
    "YAML tag": ("top_p: 1\ntop_k: !!int x", "textgen", 2),
    "YAML tag without a value": ("top_k: !!timestamp x", "textgen", 1),
    "YAML tag of Python": ("top_k: !!python/object/apply:os.system [x]", "textgen", 1),
    "YAML binary": (f"a: !!binary {'A' * 50_000}", "textgen", 1),
    "YAML anchor": ("top_p: 1\ntop_k: &a 1", "textgen", 2),
    "YAML alias": ("a: *a", "textgen", 1),
    "YAML merge": ("top_p: 1\na: {<<: {b: 1}}", "textgen", 2),
    "YAML of two documents": ("top_p: 1\n---\ntop_p: 1", "textgen", 2),
    "YAML list as a name": ("top_p: 1\n[a]: 1", "textgen", 2),
    "YAML list as a name within": ("a: {? [b] : 1}", "textgen", 1),
    "YAML sixty by sixty": (f"top_k: {':'.join(['1'] * 29_000)}", "textgen", 1),
    "YAML sixty by sixty and a half": (f"top_k: {':'.join(['1'] * 29_000)}.5", "textgen", 1),
    "YAML date that is none": ("top_p: 1\ntop_k: 2001-99-99", "textgen", 2),
    "YAML with half of a character": ('top_p: 1\na: "\\ud800"', "textgen", 2),
    "YAML escape beyond Unicode": ('top_p: 1\na: "\\U7fffffff"', "textgen", 2),
    "YAML escape beyond 32 bits": ('top_p: 1\na: "\\Uffffffff"', "textgen", 2),
    "YAML with a tab": ("top_p: 1\n\ta: 1", "textgen", 2),
    "YAML with NUL": ("top_p: 1\na: \0", "textgen", 2),
    "YAML scalar": ("just words", "textgen", 1),
    "page of many lines": ("a\n" * 29_000, None, 3_001),
    "lines that end in an x": ("\n" * 59_999 + "x", None, 3_001),
    "a name and spaces": ("a:" + " " * 59_000, None, 1),
    "page with digits": ("temperature\n" + "1" * 50_000, None, 2),
    "page with an exponent": ("temperature\n1e999", None, 2),
    "UTF-16 read as Latin-1": ("".join(f"{each}\0" for each in "temp"), None, 1),
}  # fmt: skip


@pytest.mark.parametrize(("text", "form", "line"), REFUSED.values(), ids=REFUSED)
def test_refuses_what_no_preset_is_in_a_sentence(
    text: str, form: str | None, line: int | None
) -> None:
    found = read_presets(text, form)
    orjson.dumps(imported_json(found))
    assert not found.drafts
    problem = found.problems[0]
    assert problem.line == line
    assert problem.reason.endswith((".", ")."))
    assert len(problem.reason) < 400


# One value that cannot be used beside one that can, and the line of the one left out.
IN_PART: dict[str, tuple[str, str, int | None]] = {
    "a limit of 26 digits": ('{"temp": 1,\n"genamt": ' + "9" * 26 + "}", "genamt", 2),
    "a limit of none": ('{"temp": 1,\n"genamt": 0}', "genamt", 2),
    "true as a number": ('{"temp": 1,\n"top_p": true}', "top_p", 2),
    "a word as a number": ('{"temp": 1,\n"top_k": "many"}', "top_k", 2),
    "half of a token": ('{"temp": 1,\n"top_k": 2.5}', "top_k", 2),
    "-Infinity": ('{"temp": 1,\n"top_p": -Infinity}', "top_p", 2),
    "an exponent": ('{"temp": 1,\n"rep_pen": 1e99999}', "rep_pen", 2),
    "out of range": ('{"temp": 1,\n"rep_pen": 9}', "rep_pen", 2),
    "a switch that is a word": ('{"temp": 1,\n"do_sample": "yes"}', "do_sample", 2),
    "given twice": ('{"top_k": 9,\n"top_k": 8, "temp": 1}', "top_k", None),
    "by two names": ('{"temp": 0.5,\n"temperature": 1, "genamt": 5}', "temp", 1),
    "of a request": ('{"temperature": 1, "top_p": 0}', "top_p", 1),
    "YAML date": ("temperature: 1\ntop_k: 2001-01-01", "top_k", 2),
    "YAML yes": ("temperature: 1\ntop_k: yes", "top_k", 2),
    "YAML infinity": ("temperature: 1\ntop_k: .inf", "top_k", 2),
    "YAML limit": (f"temperature: 1\nmax_new_tokens: {'9' * 26}", "max_new_tokens", 2),
    "a card's word": ("temperature\n1\ntop_p\nhigh", "top_p", 4),
    "a card's range": ("temperature 1\ntop_p 7", "top_p", 2),
    "a card's thousands": ("temperature 1\ntop_k 1,500", "top_k", 2),
    "a card's limit": ("temperature 1\nMax tokens: 0", "max_new_tokens", 2),
}


@pytest.mark.parametrize(("text", "name", "line"), IN_PART.values(), ids=IN_PART)
def test_what_cannot_be_used_leaves_the_rest_alone(text: str, name: str, line: int | None) -> None:
    found = read_presets(text)
    orjson.dumps(imported_json(found))
    assert found.problems == ()
    assert found.drafts[0].sampler.temperature == 1.0
    [lost] = found.left_out
    assert (lost.name, lost.line, lost.effect) == (name, line, True)


def test_of_yaml_names_given_twice_the_last_one_counts() -> None:
    found = read_presets("top_p: 0.5\ntop_p: 0.4", "textgen")
    assert found.drafts[0].sampler == Sampler(top_p=0.4)
    assert [(each.value, each.line) for each in found.left_out] == [(0.5, 1)]


def losses(text: str, *, effect: bool) -> dict[str, object]:
    """What was left out of a text, with an effect on the answers or without."""
    return {each.name: each.value for each in read_presets(text).left_out if each.effect is effect}


def test_samplers_that_are_off_are_no_loss() -> None:
    off = (
        '{"temp": 0.8, "rep_pen": 1, "rep_pen_range": 512, "rep_pen_slope": 0.7, "dynatemp": false,'
        ' "min_temp": 0.2, "max_temp": 1.5, "dynatemp_exponent": 2, "smoothing_factor": 0,'
        ' "smoothing_curve": 3, "dry_multiplier": 0, "dry_base": 1.75, "dry_allowed_length": 3,'
        ' "dry_sequence_breakers": ["x"], "mirostat_mode": 0, "mirostat_tau": 6, "mirostat_eta": 1,'
        ' "xtc_probability": 0, "xtc_threshold": 0.2, "typical": 1, "banned_tokens": ""}'
    )
    assert losses(off, effect=True) == {}
    assert len(losses(off, effect=False)) == 19
    on = off.replace('"rep_pen": 1,', '"rep_pen": 1.1,').replace(
        '"dry_multiplier": 0', '"dry_multiplier": 0.8'
    )
    assert losses(on, effect=True) == {
        "rep_pen_range": 512, "rep_pen_slope": 0.7, "dry_multiplier": 0.8, "dry_base": 1.75,
        "dry_allowed_length": 3, "dry_sequence_breakers": ["x"],
    }  # fmt: skip


def test_says_without_effect_only_of_what_has_none() -> None:
    card = "Temperature 0.8\nTypical P: 0.4\ntfs: 1\nMax tokens: 300\nA fine model for tales."
    assert read_presets(card).drafts == (Draft("", Sampler(temperature=0.8), max_new_tokens=300),)
    assert losses(card, effect=True) == {"Typical P": 0.4}
    assert set(losses(card, effect=False)) == {"tfs", "text"}
    request = '{"temperature": 1, "messages": [], "stop": ["x"], "seed": 7, "grammar": "", "n": 1}'
    assert set(losses(request, effect=True)) == {"stop", "seed"}
    call = SAMPLES["Python, OpenAI"][0]
    assert set(losses(call, effect=False)) == {"model", "messages", "role", "content"}
    assert losses(call, effect=True) == {}
    for said in (
        '{"temperature": 1, "messages": [{"role": "developer", "content": "Be brief."}]}',
        '{"temperature": 1, "messages": [{"role": "user", "content": "Hi"}, {"role": "developer", '
        '"content": [{"type": "text", "text": "Be brief."}]}], "n_predict": 9}',
        'c.create(temperature=1, messages=[{"role": "developer", "content": "Be brief."}, '
        '{"role": "user", "content": "Hi"}])',
        'c.create(temperature=1, messages=[dict(content="Be brief.", role="developer")])',
    ):
        assert losses(said, effect=True) == {"developer message": "Be brief."}
        assert "Be brief." not in str(losses(said, effect=False))
    asked = {"role": "user", "content": "Hi"}
    chat = {"temperature": 1, "messages": [{"role": "system", "content": "Be kind."}, asked]}
    assert losses(json.dumps(chat), effect=True) == {"system message": "Be kind."}
    assert losses(json.dumps(chat), effect=False) == {"messages": [asked]}
    chat["messages"] = [{"role": "system", "content": "Be kind."}]
    assert losses(json.dumps(chat), effect=False) == {}
    pirate = "You are a pirate, who answers in a single sentence."
    said = f"c.create(temperature=1, messages=[{{'role': 'system', 'content': '{pirate}'}}])"
    assert losses(said, effect=True) == {"system message": pirate}
    config = '{"do_sample": true, "top_k": 9, "max_length": 4096, "eos_token_id": 2}'
    assert set(losses(config, effect=True)) == {"max_length"}


@pytest.mark.parametrize(
    ("text", "system", "stop", "seed"),
    [
        (
            'FROM m\nPARAMETER top_k 3\nPARAMETER stop "a"\nPARAMETER stop b c\nPARAMETER seed 5\n'
            'SYSTEM """\nYou are "it".\nPARAMETER top_k 4\n"""\n',
            *('You are "it".\nPARAMETER top_k 4', ["a", "b c"], 5),
        ),
        (
            'PARAMETER top_k 3\nSYSTEM "Be kind."\nTEMPLATE """{{ .Prompt }}""" ',
            "Be kind.",
            [],
            None,
        ),
        ('PARAMETER top_k 3\nSYSTEM """never ends', '"""never ends', [], None),
        (
            '{"top_k": 3, "stop": ["a", "", "a\\nb"], "seed": -1, "messages": [{"role": "system",'
            f' "content": "{"Long. " * 40}"}}, {{"role": "user", "content": "Hi"}}]}}',
            *(("Long. " * 40).strip(), ["a", "a\nb"], None),
        ),
        ('{"temp": 1, "stop": "x", "seed": 9}', "", ["x"], 9),
        ('llama-cli --temp 1 -sys "Be 5." -r 7 -r U: -s 5', "Be 5.", ["7", "U:"], 5),
        ("SamplingParams(top_k=3, stop=['x'], seed=4)", "", [], 4),
        ("temperature 1", "", [], None),
    ],
)
def test_tells_what_a_text_says_of_a_request(
    text: str, system: str, stop: list[str], seed: int | None
) -> None:
    said = orjson.loads(orjson.dumps(imported_json(read_presets(text))))["request"]
    assert said == {"system": system, "stop": stop, "seed": seed}


def test_reads_names_in_capitals_and_with_bullets() -> None:
    same = Sampler(temperature=0.6, top_p=0.8, top_k=30, repetition_penalty=1.2)
    for text in (
        "Temperature: 0.6\nTop_P: 0.8\nTOP_K: 30\nRepetition_Penalty: 1.2",
        "Settings\n- **Temperature**: 0.6\n- `Top P`: 0.8\n* Top-K = 30\n• Rep Pen: 1.2",
        '{"Temperature": 0.6, "Top_P": 0.8, "TOP_K": 30, "Repetition_Penalty": 1.2, "top_n": 1}',
    ):
        assert read_presets(text).drafts[0].sampler == same


def test_of_two_limits_the_smaller_holds_and_both_are_named() -> None:
    found = read_presets('{"temperature": 1, "max_completion_tokens": 90, "max_tokens": 40}')
    assert found.drafts[0].max_new_tokens == 40
    assert [(each.name, each.value) for each in found.left_out] == [("max_completion_tokens", 90)]
    assert found.notes == ("There are 2 limits of tokens in this; the smallest is taken.",)


def test_says_what_a_program_takes_where_a_text_names_nothing() -> None:
    config = read_presets('{"temperature": 0.5, "top_p": 0.6, "transformers_version": "4.31.0"}')
    assert config.drafts[0].sampler == Sampler(temperature=0.5, top_p=0.6)
    assert "decodes greedily" in config.notes[0]
    assert config.notes[1].endswith("transformers itself takes top_k 50.")
    [note] = read_presets('{"n_predict": 20, "temperature": 0.6, "min_p": 0}').notes
    assert note.endswith("llama.cpp itself takes top_k 40 and top_p 0.95.")


def test_other_searches_are_not_greedy_decoding() -> None:
    contrastive = read_presets(
        '{"do_sample": false, "penalty_alpha": 0.5, "top_k": 5, "temp": 0.9, "rep_pen": 1.1}'
    )
    assert contrastive.drafts[0].sampler == Sampler(repetition_penalty=1.1)
    assert contrastive.notes[0].startswith("penalty_alpha 0.5 is contrastive search")
    beams = read_presets('{"do_sample": false, "num_beams": 4, "repetition_penalty": 1.1}')
    assert beams.drafts[0].sampler == Sampler(repetition_penalty=1.1)
    assert beams.notes[0].startswith("num_beams 4 is beam search")
    assert not read_presets('{"do_sample": false, "penalty_alpha": 0.5, "top_k": 5}').drafts


@pytest.mark.parametrize(
    "text", ["{}", '{"a": 1}', '{"tfs": 0.9, "rep_pen_range": 9}', "# nothing\n", "mood: calm\n"]
)
def test_where_nothing_is_understood_there_is_no_preset(text: str) -> None:
    found = read_presets(text)
    assert found.drafts == ()
    assert found.problems


def test_reads_what_a_llama_server_says_of_its_defaults() -> None:
    found = read_presets(
        '{"default_generation_settings": {"n_ctx": 4096,\n"params": {"temperature": 0.7,'
        ' "top_k": 30, "top_p": 0.9, "min_p": 0.1,\n"repeat_penalty": 9, "n_predict": -1,'
        ' "seed": 4294967295,'
        ' "adaptive_target": -1.0, "adaptive_decay": 0.9, "backend_sampling": false}},'
        ' "total_slots": 1}'
    )
    assert found.format == "llamacpp"
    assert found.drafts == (Draft("", Sampler(0.7, 0.9, 30, min_p=0.1)),)
    assert [each.line for each in found.left_out if each.effect] == [3]


@pytest.mark.parametrize(
    "text",
    [
        f'version = 2\n[[preset]]\nid = "a"\nname = "{"Ab " * 30}"\n[preset.sampler]\ntop_k = 4\n',
        f'{{"name": "{"Ab " * 30}", "inference_params": {{"top_k": 4}}}}',
    ],
)
def test_a_name_that_is_cut_is_said(text: str) -> None:
    found = read_presets(text)
    assert [draft.name for draft in found.drafts] == [("Ab " * 20).rstrip()]
    assert found.notes[-1].startswith("A name has at most 60 characters here, so one is cut: Ab Ab")
    assert not read_presets(text.replace("Ab " * 30, "Ab " * 19 + "Abc")).notes


def test_what_files_are_written_with_does_not_matter() -> None:
    lines = ["temperature: 0.7", "top_k: 40"]
    for text in ("\r\n".join(lines), "\ufeff" + "\n".join(lines)):
        assert read_presets(text).drafts[0].sampler == Sampler(temperature=0.7, top_k=40)


def counted_calls(text: str, form: str | None = None) -> int:
    """How many functions it takes to read a text, of Python and of C."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        read_presets(text, form)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    ("unit", "form"),
    [("temperature\n1\n", None), ("x\n", "page"), ("a: 1\n", "toml"), ("a = 1\n", "toml"),
     ("- 1\n", "textgen"), ("#\n", "textgen"), ("a. = '\n", "toml"), ("temperature=1,\n", "python"),
     ('"a=\'', "python"), ("PARAMETER a 1\n", "modelfile")],
)  # fmt: skip
def test_twice_the_text_is_at_most_twice_the_work(unit: str, form: str | None) -> None:
    half, whole = (counted_calls(unit * times, form) for times in (500, 1000))
    assert whole <= 2.1 * half


@pytest.mark.parametrize(
    "unit", ["-H 'a' ", "--temp 1 ", "\\ ", "#\n", "$'\\'", '"\\"', "\\\n  ", "-sd"]
)
def test_twice_the_command_is_at_most_twice_the_work(unit: str) -> None:
    """By steps; within one a pattern takes nothing back, or this would not come to an end."""
    for program in ("curl ", "llama-cli ", "vllm serve "):
        half, whole = (counted_calls(program + unit * times) for times in (500, 1000))
        assert whole <= 2.1 * half
        for text in ("# " * 30_000, program + unit * 20_000, unit * 10_000 + program + "x"):
            read_presets(text)


@pytest.mark.parametrize(
    "unit", ["a=1 ", "./", "a", "sudo ", "-a ", "--temp", "docker run ", "llama-", "--temp 1 ", "`"]
)
def test_what_stands_before_a_command_is_looked_at_once(unit: str) -> None:
    for text in (unit * 10_000, "docker run " + unit * 10_000, "-a " + unit * 10_000):
        read_presets(text[:50_000])


def test_yaml_deeper_than_any_preset_is_not_read_to_its_end() -> None:
    [problem] = read_presets("a: " + "[" * 50_000, "textgen").problems
    assert problem.reason == "A preset has no values as deep as these."
    assert not read_presets(f"temperature: 1\na: {'[' * 19}{']' * 19}", "textgen").problems


def test_shows_values_of_any_kind() -> None:
    text = (
        '{"temp": 1, "seed": 99999999999999999999999, "samplers": ["a", {"b": null}], "tfs": NaN}'
    )
    shown = {each["name"]: each["value"] for each in imported_json(read_presets(text))["left_out"]}
    assert shown["seed"] == "99999999999999999999999"
    assert shown["samplers"] == '["a",{"b":null}]'
    text = "top_k: 1\na: {2001-01-01: yes, b: 2001-01-01, 1: .inf}"
    [left] = imported_json(read_presets(text, "textgen"))["left_out"]
    assert left["value"] == '{"2001-01-01":true,"b":"2001-01-01","1":Infinity}'


@given(st.text(max_size=300), st.sampled_from([None, *FORMATS]))
def test_never_fails_on_any_text(text: str, form: str | None) -> None:
    found = read_presets(text, form)
    assert found.drafts or found.problems


@given(
    mutated_text(st.sampled_from([sample[0] for sample in SAMPLES.values()])),
    st.sampled_from([None, None, *FORMATS]),
)
def test_a_text_that_is_nearly_right_is_read_or_refused_with_its_place(
    text: str, form: str | None
) -> None:
    found = read_presets(text, form)
    assert found.drafts or found.problems
    for draft in found.drafts:
        for parameter in PARAMETERS:
            value = getattr(draft.sampler, parameter.name)
            assert value is None or parameter.minimum <= value <= parameter.maximum
    orjson.dumps(imported_json(found))  # which is what the page gets


def test_refuses_several_presets_where_a_format_holds_one() -> None:
    with pytest.raises(InvalidRequest, match="A TGI request holds one preset"):
        write_presets([Draft("a", Sampler()), Draft("b", Sampler())], "tgi")


@st.composite
def samplers(draw: st.DrawFn) -> Sampler:
    values: dict[str, Any] = {}
    for parameter in PARAMETERS:
        low = parameter.smallest or parameter.minimum
        number = (
            st.integers(int(low), int(parameter.maximum))
            if parameter.integer
            else st.just(max(parameter.minimum, 0.0)) | st.floats(low, parameter.maximum)
        )
        values[parameter.name] = draw(st.none() | number)
    return Sampler(**values)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_NAME_CHARS)
drafts = st.builds(
    Draft,
    name=names,
    sampler=samplers(),
    source=names,
    max_new_tokens=st.none() | st.integers(1, 9999),
)


@given(st.lists(drafts, min_size=1, max_size=4), st.sampled_from(["toml", "json"]))
def test_our_own_formats_lose_nothing(presets: list[Draft], form: str) -> None:
    text = write_presets(presets, form).text
    found = read_presets(text)
    assert (found.format, found.problems, found.left_out) == (form, (), ())
    for before, after in zip(presets, found.drafts, strict=True):
        assert after.sampler == before.sampler
        assert after.max_new_tokens == before.max_new_tokens
        assert after.source == before.source
        assert after.name == before.name or (form == "toml" and not before.name.strip())


@given(st.lists(samplers(), min_size=1, max_size=4))
def test_the_page_text_comes_back(sets: list[Sampler]) -> None:
    drafts = [Draft(f"Config {i}", sampler) for i, sampler in enumerate(sets)]
    found = read_presets(write_presets(drafts, "page").text, "page")
    assert [(draft.name, draft.sampler) for draft in found.drafts] == [
        (draft.name, draft.sampler) for draft in drafts
    ]


@given(samplers(), st.none() | st.integers(1, 9999), st.sampled_from([*FORMATS]))
def test_what_a_format_can_express_comes_back_and_the_rest_is_listed(
    sampler: Sampler, limit: int | None, form: str
) -> None:
    draft = Draft("A", sampler, max_new_tokens=limit)
    written = write_presets([draft], form)
    found = read_presets(written.text, form)
    lost = {each.name for each in written.left_out}
    said = {name for name in sampler.set_values() if name not in lost}
    known = [name for name, parameter in BY_NAME.items() if "tgi" in parameter.names]
    if form == "tgi" and sampler.temperature is None:  # neutral values are left away there
        said &= {*name_values(sampler, known)}
    if form not in SEVERAL and not said and limit is None:
        assert not found.drafts  # the text says nothing
        return
    assert found.problems == ()
    after = found.drafts[0]
    assert after.max_new_tokens == (None if "max_new_tokens" in lost else limit)
    if form == "tgi":
        assert name_values(after.sampler, known) == name_values(sampler, known)
        return
    for parameter, value in sampler:
        if parameter.name in lost:
            assert getattr(after.sampler, parameter.name) is None
        else:
            assert getattr(after.sampler, parameter.name) == value


def test_an_export_says_what_it_means_elsewhere() -> None:
    preset = Draft("A", Sampler(temperature=0.7, min_p=0.1, top_k=0))
    openai = write_presets([preset], "openai")
    assert json.loads(openai.text) == {"temperature": 0.7}
    assert [(each.name, each.effect) for each in openai.left_out] == [
        ("top_k", False),
        ("min_p", True),
    ]
    llama = write_presets([preset], "llamacpp")
    assert json.loads(llama.text)["samplers"][:2] == ["penalties", "temperature"]
    assert llama.notes[0] == (
        "Unset does not mean off there: where nothing is named, it takes top_p 0.95."
    )
    assert json.loads(write_presets([Draft("A", Sampler(temperature=0.0))], "tgi").text) == {
        "parameters": {"do_sample": False}
    }


def test_says_that_tgi_means_something_else_by_frequency_penalty() -> None:
    (note,) = read_presets(SAMPLES["TGI"][0]).notes
    assert note.startswith("TGI divides frequency_penalty")
    written = write_presets([Draft("A", Sampler(frequency_penalty=0.5))], "tgi")
    assert written.notes == (note,)
    assert write_presets([Draft("A", Sampler(frequency_penalty=0.0))], "tgi").notes == ()


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"temperature": 1e-05, "top_p": 0.5}', "openai"),
        ("temperature: 0.00001\ntop_p: 0.5", "textgen"),
        ("temperature\n0.00001\ntop_p\n0.5", "page"),
    ],
)
def test_a_temperature_that_no_engine_computes_is_read_as_greedy(text: str, form: str) -> None:
    read = read_presets(text, form)
    [draft] = read.drafts
    assert draft.sampler == Sampler(temperature=0, top_p=0.5)
    assert read.left_out == ()
    assert read.notes[0].startswith("temperature 1e-05 is taken as 0, as which it is meant")


async def test_import_and_export_over_http(stand_in_url: str) -> None:
    async with playground(stand_in_url) as url, httpx.AsyncClient(base_url=url) as client:
        read = await client.post("/api/presets/import", json={"text": SAMPLES["SillyTavern"][0]})
        presets = read.json()["presets"]
        written = await client.post(
            "/api/presets/export", json={"presets": presets, "format": "textgen"}
        )
        again = await client.post("/api/presets/import", json={"text": written.json()["text"]})
        listed = (await client.get("/api/presets")).json()["formats"]
        refused = [
            await client.post("/api/presets/import", json={"text": 3}),
            await client.post("/api/presets/import", json={"text": "", "format": "x"}),
            await client.post("/api/presets/import", json={"text": "x" * 60_001}),
            await client.post("/api/presets/export", json={"presets": [], "format": "tgi"}),
            await client.post(
                "/api/presets/export",
                json={"presets": [{"sampler": {"top_p": 3}}], "format": "tgi"},
            ),
        ]
    assert (read.status_code, read.json()["label"]) == (200, "SillyTavern preset")
    assert [each["name"] for each in read.json()["left_out"]] == [
        *("rep_pen_range", "tfs", "tempp", "top_a")
    ]
    assert again.json()["presets"][0]["sampler"] == presets[0]["sampler"]
    assert {each["id"] for each in listed if each["several"]} == set(SEVERAL)
    assert [(each.status_code, each.json()["field"]) for each in refused] == [
        (422, "text"),
        (422, "format"),
        (422, "text"),
        (422, "presets"),
        (422, "presets[0].sampler.top_p"),
    ]


def test_the_bundled_presets_survive_their_own_format() -> None:
    bundled = [Draft(p.name, p.sampler, p.source, p.max_new_tokens) for p in load_presets()]
    assert list(read_presets(write_presets(bundled, "toml").text).drafts) == bundled
