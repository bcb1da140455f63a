"""The page /api/docs: the API's document for people, without a script.

It is put together when it is first asked for, and in a thread, since that takes a while.
"""

import json
from functools import cache

from fastapi import APIRouter, FastAPI, Response

from playground.api.document import OPENAPI_PATH
from playground.ui import standalone


def api_docs(app: FastAPI, version: str, root_path: str) -> APIRouter:
    """The page of the application's document.

    Args:
        version: Of the browser's files.
    """
    router = APIRouter()

    @cache
    def html() -> str:
        return standalone.document(
            "api_docs",
            title="The API",
            version=version,
            root_path=root_path,
            document=app.openapi(),
            openapi_path=OPENAPI_PATH,
            dumps=lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        )

    @router.api_route("/api/docs", methods=["GET", "HEAD"], include_in_schema=False)
    def page() -> Response:
        return standalone.answer(html())

    return router
