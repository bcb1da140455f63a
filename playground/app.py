"""The composition root: settings in, one ASGI application out."""

import gc
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from playground.api.access_log import AccessLog
from playground.api.document import document_routes
from playground.api.routes import create_router, other_routes
from playground.api.services import Services
from playground.auth.backends import UserLogin, login_from_settings
from playground.auth.hosts import HostMiddleware, Hosts, Tunnel
from playground.auth.middleware import AuthMiddleware
from playground.auth.proxy_headers import ProxyHeaders
from playground.auth.secret import with_secret
from playground.domain.presets import Preset, load_presets
from playground.engines.factory import make_engines
from playground.engines.registry import Engines
from playground.generation.highlight import stylesheet
from playground.limits.rate_limits import Visitors
from playground.limits.windows import own_windows
from playground.settings import Settings
from playground.store.ended_sessions import EndedSessions
from playground.store.store import Store
from playground.telemetry.logging import watch_loop
from playground.ui import page
from playground.ui.api_docs import api_docs
from playground.ui.demo import demo_pages
from playground.ui.files import Files, bundle_routes
from playground.ui.frame import Contents, Frame, frame_routes, mount_files
from playground.ui.login import login_routes
from playground.ui.not_found import not_found_routes
from playground.ui.snapshot import snapshot_routes

if TYPE_CHECKING:
    from playground.limits.shared import Shared

# As many new objects may come before the garbage collector looks for circles among them: tokens on
# their way through 100 streams are fewer, and need no collector.
_YOUNG_OBJECTS: Final = 10_000


def _settle_memory() -> None:
    """Take what has been built so far out of the garbage collector's sight, and call it less often.

    What is imported leaves 150,000 objects that stay for good. To look through them again and again
    holds all streams up each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
    gc.enable()  # which the command line had it not do so far


def _shared(settings: Settings) -> "Shared | None":
    if settings.limits_url is None:
        return None
    from playground.limits.shared import Shared  # here, since others need none of it

    return Shared.from_settings(settings)


def create_app(
    settings: Settings,
    tunnel: Tunnel | None = None,
    *,
    engines: Engines | None = None,
    presets: Sequence[Preset] = (),
    ui: bool = True,
) -> FastAPI:
    """The application: our routes, the browser's files, and Gradio's page at the root.

    Args:
        tunnel: A way in from the public, beside the address that is listened on.
        engines: In the place of those that the settings name.
        presets: Before those that the settings name.
        ui: Whether the page is there; everything else is as it was.

    Raises:
        PresetsError: When the presets file cannot be read.
        SettingsError: The file with the engines cannot be used.
    """
    settings = with_secret(settings)
    presets = (*presets, *load_presets(settings.presets_file))
    engines = engines or make_engines(settings)
    store = Store.from_settings(settings)
    shared = _shared(settings)
    windows = shared.window if shared else own_windows
    version = page.static_version()
    names = {each.id: each.name or each.id for each in engines.addresses}
    contents = Contents(presets, names, version, settings.root_path)
    frame = Frame(contents) if ui else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        _settle_memory()
        watch_loop()
        async with AsyncExitStack() as closing:  # each, whatever becomes of the others
            for engine in engines.engines:
                closing.push_async_callback(engine.aclose)
            if shared:
                closing.push_async_callback(shared.aclose)
            if services.stops:
                await closing.enter_async_context(services.stops.heard())
            await closing.enter_async_context(store.tended())
            if frame is not None:
                await closing.enter_async_context(frame.begun())
            yield

    hosts = Hosts(settings, tunnel)
    login = login_from_settings(settings, EndedSessions(store.database), windows)
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(
        AuthMiddleware,
        proxy_headers=ProxyHeaders(settings.trusted_proxies, settings.proxy_user_header, hosts),
        login=login,
        visitors=Visitors(settings.max_connections_per_address),
        links=settings.public_links,
    )
    app.add_middleware(HostMiddleware, hosts=hosts)
    # Without one of ours, Gradio answers any Origin with credentials on a host that is not local.
    app.add_middleware(CORSMiddleware, allow_origins=[])
    services = Services(settings, presets, engines, store, shared)
    app.state.admission, app.state.gates = services.admission, services.gates
    app.state.metrics = services.metrics
    app.add_middleware(
        AccessLog,
        metrics=services.metrics,
        scrapers=settings.metrics_from,
        hosts=hosts,
        key=(settings.sealing_secret() or token_hex()).encode(),
    )
    app.include_router(create_router(services))
    app.include_router(snapshot_routes(services, version))
    app.include_router(demo_pages(services, version))
    app.include_router(document_routes(app))
    app.include_router(api_docs(app, version, settings.root_path))
    users = login if isinstance(login, UserLogin) else None
    app.include_router(login_routes(users, settings, version))
    app.include_router(other_routes(app))

    app.include_router(bundle_routes(version, stylesheet()))
    app.mount(f"/ui/{version}", Files(page.STATIC))
    app.state.frame = frame
    if frame is not None:
        app.include_router(frame_routes(frame))
        mount_files(app)
        app.include_router(not_found_routes(version, settings.root_path))
    return app
