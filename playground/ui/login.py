"""Logging in and out: pages that need no script."""

import re
from typing import Final
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from playground.api import schemas
from playground.api.bodies import read_bytes
from playground.api.document import answering
from playground.api.http import json_router
from playground.auth.backends import UserLogin, WrongPassword
from playground.auth.cookies import DEVICE, SESSION, set_cookie
from playground.auth.hosts import bare, host_of
from playground.auth.middleware import principal_of
from playground.auth.responses import UnreadableBody, json_answer
from playground.domain.amounts import amount
from playground.domain.errors import Busy
from playground.settings import Settings
from playground.ui import standalone

_MOST_BYTES: Final = 8192
_MOST_FIELDS: Final = 16
_DEVICE_S: Final = 180 * 86_400
_LOCAL: Final = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,2000}")


def login_routes(login: UserLogin | None, settings: Settings, version: str) -> APIRouter:
    """The pages; where there are no users, they lead to the playground.

    Args:
        version: Of the files.
    """
    router = APIRouter()
    visitor = json_router("Visitor")
    root = settings.root_path
    public = urlsplit(settings.public_url or "").hostname

    def page(
        status: int, *, name: str = "", after: str = "/", problem: str = "", wait: int | None = None
    ) -> Response:
        assert login is not None
        if not problem and login.nobody():
            problem = (
                "Nobody can log in yet. Whoever runs the playground adds people with "
                "“playground users add NAME”."
            )
        html = standalone.document(
            "login",
            title="Log in",
            script="login",
            version=version,
            root_path=root,
            name=name,
            after=after,
            problem=problem,
        )
        # A form's request has its page's origin only where the page may say where it is from.
        headers = {"Referrer-Policy": "same-origin"}
        return standalone.answer(
            html, status, headers | ({"Retry-After": str(wait)} if wait else {})
        )

    def elsewhere() -> Response:
        return page(403, problem="This came from another site’s page. Log in here.")

    @visitor.get("/api/visitor", **answering(schemas.VisitorAnswer))
    async def show_visitor(request: Request) -> Response:
        """Who is logged in, whether there is a way out, and how much a request may bring."""
        return json_answer(
            {
                "name": principal_of(request.scope).name,
                "logout": login is not None,
                "max_body_bytes": settings.max_body_bytes,
            }
        )

    @router.api_route("/login", methods=["GET", "HEAD"], include_in_schema=False)
    async def ask(request: Request) -> Response:
        if login is None:
            return _to(f"{root}/")
        after = _local(request.query_params.get("next"))
        name = principal_of(request.scope).name
        if name is None:
            return page(200, after=after)
        html = standalone.document(
            "logged_in",
            title="Logged in",
            script="login",
            version=version,
            root_path=root,
            name=name,
            after=after,
        )
        return standalone.answer(html, headers={"Referrer-Policy": "same-origin"})

    @router.post("/login", include_in_schema=False)
    async def enter(request: Request) -> Response:
        if login is None:
            return _to(f"{root}/")
        if not _from_here(request, public):
            return elsewhere()
        form = await _fields(request)
        name, after = form.get("name", ""), _local(form.get("next"))
        try:
            entry = await login.enter(
                name,
                form.get("password", ""),
                principal_of(request.scope).address,
                request.headers.get("cookie", ""),
            )
        except WrongPassword as error:
            request.scope["refusal"] = error.kind
            return page(401, name=name, after=after, problem=str(error))
        except Busy as error:
            request.scope["refusal"] = error.kind
            words = f"{error} Try again in {_words(error.retry_after)}."
            return page(429, name=name, after=after, problem=words, wait=error.retry_after)
        answer = _to(f"{root}{after}")
        lasts_s = login.sessions.lasts_s
        answer.raw_headers += [
            set_cookie(request.scope, SESSION, entry.session, lasts_s),
            set_cookie(request.scope, DEVICE, entry.device, _DEVICE_S),
        ]
        return answer

    @router.api_route("/logout", methods=["GET", "HEAD"], include_in_schema=False)
    async def not_by_a_link() -> Response:
        return _to(f"{root}/login")

    @router.post("/logout", include_in_schema=False)
    async def leave(request: Request) -> Response:
        if login is None:
            return _to(f"{root}/")
        if not _from_here(request, public):
            return elsewhere()
        session = await login.session(request.headers.get("cookie", ""))
        if session is not None:
            await login.sessions.end(session)
        answer = _to(f"{root}/login")
        answer.raw_headers.append(set_cookie(request.scope, SESSION, "", 0))
        return answer

    router.include_router(visitor)
    return router


def _to(address: str) -> Response:
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


def _local(path: str | None) -> str:
    """A path below the root; "/" for all that leads to another place, or could be taken to."""
    return path if path and _LOCAL.fullmatch(path) else "/"


def _from_here(request: Request, public: str | None) -> bool:
    """Whether a form was sent by a page of this server, so far as the browser says.

    Hosts are compared without ports, which some proxies leave out. What is no browser says nothing.
    """
    site = request.headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    if origin is None:
        return site is None
    host = bare(origin.partition("://")[2])
    forwarded = request.headers.get("x-forwarded-host", "").split(",")[0].strip()
    return bool(host) and host in (host_of(request.scope), public, bare(forwarded))


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form; none of one that is too large or has too many."""
    try:
        text = (await read_bytes(request, _MOST_BYTES)).decode("utf-8", "replace")
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except (UnreadableBody, ValueError):
        return {}
    return {name: values[0] for name, values in fields.items()}


def _words(seconds: int) -> str:
    return amount(seconds, "second") if seconds < 60 else amount(-(-seconds // 60), "minute")
