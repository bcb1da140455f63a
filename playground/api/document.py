"""The API's OpenAPI document: FastAPI's own, and what FastAPI cannot know of our routes.

A route says by `answering` or `streaming` what it answers and with which statuses it may refuse;
what holds for all routes stands here once. The schema of an event stream is that of one event, as
the tools read it; OpenAPI 3.1 itself has no word for the items of a stream.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from typing_extensions import get_original_bases, is_typeddict

from playground.api import schemas
from playground.auth.responses import json_answer

OPENAPI_PATH: Final = "/api/openapi.json"
_EXAMPLES: Final = Path(__file__).with_name("examples.json")
_SCHEMAS: Final = "#/components/schemas/"
_JSON: Final = "application/json"

_TAGS: Final[Mapping[str, str]] = {
    "Answers": "Answers as they are written, one of them stopped, and blind ones revealed.",
    "Engine": "The engines, and what they make of a text.",
    "Presets": "The sampler's parameters and presets, and their exchange with other programs.",
    "Set-up links": "Links that set the page to something.",
    "Snapshots": "Conversations frozen under a link.",
    "Demos": "Set-ups that others try under a link, within a budget of tokens.",
    "Visitor": "Who asks.",
    "Health": "For probes.",
}
_DESCRIPTION: Final = """\
What is asked is JSON, and so is what is answered, but for streams of events. A name that is not
known is as wrong as a wrong value, so that nothing in a request is ignored.

Whatever is wrong is answered with `error`, a sentence for people, `kind`, a word for programs, and
`field`, the place in the request. An answer that fails within a stream has the same kinds."""
_REFUSALS: Final[Mapping[int, str]] = {
    400: "The body is not JSON, or is lost.",
    401: "Nobody is logged in.",
    403: "Who asks may not.",
    404: "What is named is not there, or no longer, or another's.",
    409: "The page was opened under another name than is logged in now.",
    413: "The body is larger than this server takes, or has more values or levels.",
    415: "The content type is not application/json.",
    421: "This server is not known by the name that it was asked by.",
    422: "Something in the request is wrong or too long; `field` names the place.",
    429: "A limit is reached; Retry-After says after how many seconds to come again.",
    500: "The playground itself failed; its log says how.",
    502: "The engine refused or failed.",
    503: "The engine or the database is away, or this server is stopping.",
}
_ALWAYS: Final = (401, 403, 409, 421, 500)
_BELOW_A_BODY: Final = (400, 413, 415, 422, 429)


def answering(kind: Any, *refusals: int, status: int = 200) -> dict[str, Any]:
    """The arguments of a route that answers a type of `schemas`, or nothing where it is ``None``.

    Args:
        refusals: The statuses that it may refuse with beside those of all routes.
    """
    answer: dict[str, Any] = {"description": "Done."}
    if kind is not None:
        answer["description"] = kind.__doc__
        answer["content"] = {_JSON: {"schema": {"$ref": _SCHEMAS + kind.__name__}}}
    return {
        "status_code": status,
        "response_class": Response,
        "responses": {status: answer, **_refused(refusals)},
    }


def streaming(*refusals: int) -> dict[str, Any]:
    """The arguments of a route that answers with events.

    Args:
        refusals: As for `answering`.
    """
    answer = {
        "description": "The events of all panes as they come: of each pane first `receipt` (before "
        "it `waiting`, while it waits in line), then `delta` and `block`, `notice` where there is "
        "something to know, and last one `done` or `error`. A comment keeps a silent stream alive. "
        "Of a blind comparison `receipt`, `done` and `error` are sealed, and what a `notice` says "
        "is below the seal of the ending.",
        "headers": {
            "X-Stream-Id": {
                "description": "By which one of its panes is stopped.",
                "schema": {"type": "string"},
            }
        },
        "content": {
            "text/event-stream": {"schema": {"$ref": f"{_SCHEMAS}StreamEvent"}},
        },
    }
    return {"response_class": Response, "responses": {200: answer, **_refused(refusals)}}


def _refused(statuses: Iterable[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for status in statuses:
        found[status] = {
            "description": _REFUSALS[status],
            "content": {_JSON: {"schema": {"$ref": f"{_SCHEMAS}ErrorAnswer"}}},
        }
        if status in (429, 503):
            found[status]["headers"] = {
                "Retry-After": {
                    "description": "Seconds, where that is known.",
                    "required": status == 429,
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
    return found


def document_routes(app: FastAPI) -> APIRouter:
    """GET /api/openapi.json: the application's document.

    It is put together when it is first asked for, and in a thread, since that takes a while.
    """
    app.openapi = cache(lambda: _document(app))  # type: ignore[method-assign]  # as FastAPI says
    router = APIRouter()

    @router.get(OPENAPI_PATH, include_in_schema=False)
    def show_document(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return json_answer({**app.openapi(), "servers": [{"url": root or "/"}]})

    return router


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="KTO Mistral playground",
        version=version("kto-mistral-playground"),
        description=_DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": words} for name, words in _TAGS.items()],
        separate_input_output_schemas=False,
    )
    examples = json.loads(_EXAMPLES.read_text(encoding="utf-8"))
    for path, methods in document["paths"].items():
        for operation in methods.values():
            _complete(operation, path, examples.get(operation["operationId"], {}))
    schemas_ = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which nobody meets
        schemas_.pop(name, None)
    schemas_ |= _types()
    return document


def _complete(operation: dict[str, Any], path: str, example: Mapping[str, Any]) -> None:
    """What holds for all routes, and the route's examples."""
    responses = operation["responses"]
    statuses = list(_ALWAYS if path.startswith("/api/") else (421, 500))
    if "requestBody" in operation:
        statuses += _BELOW_A_BODY
        content = operation["requestBody"]["content"][_JSON]
        content["example"] = example.get("request")
    elif any(each["in"] == "query" for each in operation.get("parameters", [])):
        statuses.append(422)
    responses.pop("422", None)  # FastAPI's, whose form is another
    for status, refusal in _refused(statuses).items():
        responses.setdefault(str(status), refusal)
    operation["responses"] = dict(sorted(responses.items()))
    for status, response in responses.items():
        for content in response.get("content", {}).values():
            if status.startswith("2") and "answer" in example:
                content["example"] = example["answer"]


def _types() -> dict[str, Any]:
    """The schemas of what is answered."""
    types = [each for each in vars(schemas).values() if is_typeddict(each)]
    _, made = TypeAdapter.json_schemas(
        [(each.__name__, "validation", TypeAdapter(each)) for each in types],
        ref_template=f"{_SCHEMAS}{{model}}",
    )
    found: dict[str, Any] = made["$defs"]
    for kind in types:  # pydantic reads the docstrings of a type's own fields alone
        for base in filter(is_typeddict, get_original_bases(kind)):
            for name, field in found[base.__name__]["properties"].items():
                found[kind.__name__]["properties"][name] |= field
    word = found["ErrorAnswer"]["properties"]["kind"]
    word["description"] += "\n\n" + "\n".join(
        f"- `{name}`: {words}" for name, words in schemas.KINDS.items()
    )
    found["StreamEvent"] = {
        "description": "One event: its name, and its data as JSON.",
        "anyOf": [
            {
                "type": "object",
                "title": name,
                "required": ["event", "data"],
                "properties": {
                    "event": {"const": name},
                    "data": {
                        "type": "string",
                        "contentMediaType": _JSON,
                        "contentSchema": {"$ref": f"{_SCHEMAS}{data.__name__}"},
                    },
                },
            }
            for name, data in schemas.EVENTS
        ],
    }
    return found
