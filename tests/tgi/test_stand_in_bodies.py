"""What a body that is no request is answered, in the words of TGI's extractor.

The answers are those of serde_json 1.0.140 and serde_path_to_error 0.1.17, which TGI 3.3.7 reads
with, over TGI's own types.
"""

import pytest

from tests.stand_in.reading import Malformed
from tests.stand_in.requests import read

BEGIN = {
    400: "Failed to parse the request body as JSON: ",
    422: "Failed to deserialize the JSON body into the target type: ",
}
REFUSED = [
    (b"", 400, "EOF while parsing a value", 1, 0),
    (b"{", 400, "EOF while parsing an object", 1, 1),
    (b'{"inputs":', 400, "inputs: EOF while parsing a value", 1, 10),
    (b'{"inputs":"a', 400, "inputs: EOF while parsing a string", 1, 12),
    (b'{"inputs":"a"', 400, "EOF while parsing an object", 1, 13),
    (b"nope", 400, "expected ident", 1, 2),
    (b"\xff", 400, "expected value", 1, 1),
    (b"{'inputs':1}", 400, "key must be a string", 1, 2),
    (b'{"inputs" "a"}', 400, "expected `:`", 1, 11),
    (b'{"inputs":"a",}', 400, "trailing comma", 1, 15),
    (b'{"inputs":"a",', 400, "EOF while parsing a value", 1, 14),
    (b'{"inputs":"a";}', 400, "expected `,` or `}`", 1, 14),
    (b'{"x":[1,2}', 400, "x: expected `,` or `]`", 1, 10),
    (b'{"x":[', 400, "x: EOF while parsing a list", 1, 6),
    (b'{"x":{"a":1,}}', 400, "x: key must be a string", 1, 13),
    (b'{"x":01}', 400, "x: invalid number", 1, 7),
    (b'{"x":-}', 400, "x: invalid number", 1, 7),
    (b'{"x":1.}', 400, "x: invalid number", 1, 8),
    (b'{"x":"\\q"}', 400, "x: invalid escape", 1, 8),
    (
        b'{"inputs":"a\nb"}',
        400,
        "inputs: control character (\\u0000-\\u001F) found while parsing a string",
        2,
        0,
    ),
    (b'{"inputs":"\\ud800"}', 400, "inputs: unexpected end of hex escape", 1, 18),
    (
        b'{"inputs":"\\udc00"}',
        400,
        "inputs: lone leading surrogate in hex escape",
        1,
        17,
    ),
    (
        b'{"inputs":"\\ud800\\u0041"}',
        400,
        "inputs: lone leading surrogate in hex escape",
        1,
        23,
    ),
    (b'{"inputs":"\\u12"}', 400, "inputs: invalid escape", 1, 17),
    (b'{"inputs":"\xff"}', 400, "inputs: invalid unicode code point", 1, 13),
    (b'{"inputs":tru}', 400, "inputs: expected ident", 1, 14),
    (b"5", 422, "invalid type: integer `5`, expected struct GenerateRequest", 1, 1),
    (b"null", 422, "invalid type: null, expected struct GenerateRequest", 1, 4),
    (b"{}", 422, "missing field `inputs`", 1, 2),
    (b'{"parameters":{}\n}', 422, "missing field `inputs`", 2, 1),
    (b'{"inputs":null}', 422, "inputs: invalid type: null, expected a string", 1, 14),
    (
        b'{"inputs":["a"]}',
        422,
        "inputs: invalid type: sequence, expected a string",
        1,
        10,
    ),
    (
        b'{"inputs":{"a":1}}',
        422,
        "inputs: invalid type: map, expected a string",
        1,
        10,
    ),
    (
        b'{"inputs":-0}',
        422,
        "inputs: invalid type: floating point `-0.0`, expected a string",
        1,
        12,
    ),
    (
        b'{"inputs":1e15}',
        422,
        "inputs: invalid type: floating point `1000000000000000.0`, expected a string",
        1,
        14,
    ),
    (
        b'{"inputs":1e16}',
        422,
        "inputs: invalid type: floating point `1e16`, expected a string",
        1,
        14,
    ),
    (
        b'{"inputs":-2.5e-7}',
        422,
        "inputs: invalid type: floating point `-2.5e-7`, expected a string",
        1,
        17,
    ),
    (
        b'{"inputs":0.00012}',
        422,
        "inputs: invalid type: floating point `0.00012`, expected a string",
        1,
        17,
    ),
    (
        b'{"inputs":18446744073709551616}',
        422,
        "inputs: invalid type: floating point `1.8446744073709552e19`, expected a string",
        1,
        30,
    ),
    (b'{"inputs":"a","inputs":"b"}', 422, "duplicate field `inputs`", 1, 22),
    (
        b'{"inputs":"a","parameters":null}',
        422,
        "parameters: invalid type: null, expected struct GenerateParameters",
        1,
        31,
    ),
    (
        b'{"inputs":"a","parameters":{"temperature":"h\\u00e9\\n\\"\\u0007"}}',
        422,
        'parameters.temperature: invalid type: string "hé\\n\\"\\u{7}", expected f32',
        1,
        61,
    ),
    (
        b'{"inputs":"a","parameters":{"temperature":true}}',
        422,
        "parameters.temperature: invalid type: boolean `true`, expected f32",
        1,
        46,
    ),
    (
        b'{"inputs":"a","parameters":{"temperature":1e999}}',
        400,
        "parameters.temperature: number out of range",
        1,
        47,
    ),
    (
        b'{"inputs":"a","parameters":{"temperature":NaN}}',
        400,
        "parameters.temperature: expected value",
        1,
        43,
    ),
    (
        b'{"inputs":"a","parameters":{"top_k":1.0}}',
        422,
        "parameters.top_k: invalid type: floating point `1.0`, expected i32",
        1,
        39,
    ),
    (
        b'{"inputs":"a","parameters":{"top_k":2147483648}}',
        422,
        "parameters.top_k: invalid value: integer `2147483648`, expected i32",
        1,
        46,
    ),
    (
        b'{"inputs":"a","parameters":{"seed":-1}}',
        422,
        "parameters.seed: invalid value: integer `-1`, expected u64",
        1,
        37,
    ),
    (
        b'{"inputs":"a","parameters":{"seed":18446744073709551616}}',
        422,
        "parameters.seed: invalid type: floating point `1.8446744073709552e19`, expected u64",
        1,
        55,
    ),
    (
        b'{"inputs":"a","parameters":{"max_new_tokens":4294967296}}',
        422,
        "parameters.max_new_tokens: invalid value: integer `4294967296`, expected u32",
        1,
        55,
    ),
    (
        b'{"inputs":"a","parameters":{"best_of":1e3}}',
        422,
        "parameters.best_of: invalid type: floating point `1000.0`, expected usize",
        1,
        41,
    ),
    (
        b'{"inputs":"a","parameters":{"do_sample":null}}',
        422,
        "parameters.do_sample: invalid type: null, expected a boolean",
        1,
        44,
    ),
    (
        b'{"inputs":"a","parameters":{"stop":"a"}}',
        422,
        'parameters.stop: invalid type: string "a", expected a sequence',
        1,
        38,
    ),
    (
        b'{"inputs":"a","parameters":{"stop":["a",null]}}',
        422,
        "parameters.stop[1]: invalid type: null, expected a string",
        1,
        44,
    ),
    (
        b'{"inputs":"a","parameters":{"stop":["a",]}}',
        400,
        "parameters.stop: trailing comma",
        1,
        41,
    ),
    (
        b'{"inputs":"a","parameters":{"stop":["a" "b"]}}',
        400,
        "parameters.stop: expected `,` or `]`",
        1,
        41,
    ),
    (
        b'{"inputs":"a","parameters":{"seed":1,"seed" :2}}',
        422,
        "parameters: duplicate field `seed`",
        1,
        44,
    ),
    (
        b'{"inputs":"a","parameters":{"seed":1 2}}',
        400,
        "parameters.?: expected `,` or `}`",
        1,
        38,
    ),
    (
        b'{"inputs":"a","parameters":{\n"top_k":\n  {}}}',
        422,
        "parameters.top_k: invalid type: map, expected i32",
        3,
        2,
    ),
    (
        b'{"inputs":"a","parameters":{"grammar":5}}',
        422,
        "parameters.grammar: invalid type: integer `5`, "
        "expected adjacently tagged enum GrammarType",
        1,
        39,
    ),
    (
        b'{"inputs":"a","parameters":{"adapter_id":5}}',
        422,
        "parameters.adapter_id: invalid type: integer `5`, expected a string",
        1,
        42,
    ),
    (
        b'{"inputs":"a","parameters":{"see',
        400,
        "parameters.?: EOF while parsing a string",
        1,
        32,
    ),
]


@pytest.mark.parametrize(("body", "status", "message", "line", "column"), REFUSED)
def test_what_is_wrong_is_told_in_serdes_words(
    body: bytes, status: int, message: str, line: int, column: int
) -> None:
    with pytest.raises(Malformed) as refused:
        read(body)
    assert refused.value.status == status
    where = f" at line {line} column {column}"
    assert str(refused.value) == BEGIN[status] + message + where


@pytest.mark.parametrize(
    "body",
    [
        b' {"inputs":"a"} and more',
        b'{"inputs":"a","add_special_tokens":5,"stream":5}',
        b'{"inputs":"a","x":{"y":["\xff","\\ud800",1e999,{"z":null}]}}',
        b'{"\\u0069nputs":"a","parameters":{"temperature":null,"presence_penalty":"x"}}',
    ],
)
def test_what_nobody_knows_is_passed_over(body: bytes) -> None:
    assert read(body)["inputs"] == "a"


def test_every_field_is_read() -> None:
    body = (
        '{"inputs":"é \\u00e9 \\ud83d\\ude42 \\"\\n","parameters":{"top_p":0.1,"top_k":-7,'
        '"seed":18446744073709551615,"stop":["a","b"],"do_sample":true,"details":false,'
        '"best_of":null,"temperature":1e39,"grammar":{"type":"regex","value":"a"}}}'
    )
    assert read(body.encode()) == {
        "inputs": 'é é 🙂 "\n',
        "parameters": {
            "top_p": 0.10000000149011612,  # 32 bits
            "top_k": -7,
            "seed": 2**64 - 1,
            "stop": ["a", "b"],
            "do_sample": True,
            "details": False,
            "best_of": None,
            "temperature": float("inf"),
            "grammar": True,
        },
    }
