"""What the playground itself needs: its database, a login that holds, and the model's Hub."""

from collections.abc import AsyncIterator
from typing import Final

import httpx
from huggingface_hub import constants, get_token

from playground.auth.startup_checks import check_exposure
from playground.auth.users import UsersError, users_file
from playground.cli.check.findings import Finding, fault, note, ok, skipped
from playground.domain.errors import StoreError
from playground.settings import Settings, SettingsError, is_loopback
from playground.store.database import Database
from playground.store.tables import REVISION

_PATIENCE_S: Final = 5.0


async def examine_settings(settings: Settings) -> AsyncIterator[Finding]:
    """The database, the login, and whether what is typed there can be read on the way."""
    yield await _database(settings)
    if (address := settings.limits_address()) is not None:
        yield await _limits(address)
    elif settings.workers > 1:
        yield fault(
            "limits",
            f"{settings.workers} workers have nothing in which they count together.",
            "Set PLAYGROUND_LIMITS_URL, or PLAYGROUND_WORKERS=1.",
        )
    yield _login(settings)
    if (bare := _bare_passwords(settings)) is not None:
        yield bare


async def examine_hub(model_id: str) -> Finding:
    """Whether the Hub gives the model to whoever asks from here. Only headers travel."""
    name = "Hub"
    if constants.HF_HUB_OFFLINE:
        return skipped(name, "HF_HUB_OFFLINE is set.")
    try:
        token = get_token()
    except OSError as error:
        return fault(
            name,
            f"The token in {error.filename} cannot be read: {error.strerror}.",
            "Give this user the right to read it (with compose `chmod 644` for HF_TOKEN_FILE), or "
            "unset it: this model needs none.",
        )
    url = f"{constants.ENDPOINT}/api/models/{model_id}/auth-check"
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE_S, follow_redirects=True) as client:
            answer = await client.get(
                url, headers={"authorization": f"Bearer {token}"} if token else {}
            )
    except httpx.HTTPError as error:
        return note(
            name,
            f"{constants.ENDPOINT} cannot be reached from here ({type(error).__name__}).",
            "TGI's machine must reach it for the first start, or have the weights in its volume.",
        )
    if answer.status_code == 403:
        return fault(
            name,
            f"{model_id} is gated, and this token may not read it.",
            f"Accept its terms on {constants.ENDPOINT}/{model_id} with the token's account, and "
            "name the token's file in HF_TOKEN_FILE.",
        )
    if answer.status_code == 401:
        return fault(
            name,
            f"{model_id} is gated, private or not there, or the token is wrong.",
            f"Open {constants.ENDPOINT}/{model_id}, accept its terms, make a token that may read, "
            "and name its file in HF_TOKEN_FILE.",
        )
    if answer.status_code == 404:
        return fault(name, f"It has no {model_id}.", "Correct MODEL_ID: owner/name, as on the Hub.")
    if answer.is_success:
        return ok(name, f"{model_id} can be downloaded")
    return note(name, f"It answers {answer.status_code} for {model_id}.", "Try again later.")


def _bare_passwords(settings: Settings) -> Finding | None:
    """A way in for others on which passwords are not encrypted; ``None`` where there is none."""
    seen = settings.seen_host()
    if settings.auth != "users" or is_loopback(seen):
        return None
    # Behind a proxy with TLS all come by it, unless what it asks is published as well.
    if (settings.public_url or "").startswith("https://") and settings.published_host is None:
        return None
    return note(
        "way in",
        f"On {seen} the page speaks plain HTTP: whoever is on the way reads passwords and talks.",
        "Let a proxy with TLS be the only way in: with compose the profile tls, "
        "PLAYGROUND_PUBLIC_URL=https://… and BIND=127.0.0.1; without it a proxy of yours, and "
        "PLAYGROUND_HOST=127.0.0.1.",
    )


async def _database(settings: Settings) -> Finding:
    name = "database"
    remote = settings.database_address() is not None
    kind = "PostgreSQL" if remote else str(settings.data_dir)
    database = Database.from_settings(settings)
    try:
        revision = await database.revision()
    except StoreError as error:
        return fault(
            name,
            f"{kind}: {str(error).partition(' Nothing was')[0]}",
            "Check PLAYGROUND_DATABASE_URL, its password's file, and that the server runs "
            "(`docker compose --profile postgres ps`)."
            if remote
            else "Give this user the right to write there, or set PLAYGROUND_DATA_DIR.",
        )
    if revision is None:
        return ok(name, f"{kind}: no tables yet; the first start makes them")
    if revision == REVISION:
        return ok(name, f"{kind}: tables at {revision}")
    return note(
        name,
        f"{kind}: tables at {revision}, and this version wants {REVISION}.",
        "The next start brings older ones up to date, after a backup; newer ones want a newer "
        "playground.",
    )


async def _limits(address: str) -> Finding:
    """Whether processes can count together."""
    from playground.limits.shared import Shared  # here, since most installations need none of it

    name = "limits"
    shared = Shared(address, str)
    try:
        await shared.answers()
    except Exception as error:
        return fault(
            name,
            f"The server of PLAYGROUND_LIMITS_URL does not answer: {error}",
            "Check its address and password, and that it runs (`docker compose --profile valkey "
            "ps`). Until then each process counts by itself.",
        )
    finally:
        await shared.aclose()
    return ok(name, "all processes with this PLAYGROUND_LIMITS_URL count together")


def _login(settings: Settings) -> Finding:
    name = "login"
    try:
        check_exposure(settings)
    except SettingsError as error:
        return fault(name, "The playground would not start.", str(error))
    if settings.auth != "users":
        who = {"none": "nobody logs in", "proxy": "a proxy says who asks"}[settings.auth]
        return ok(name, f"{who}; the page is seen at {settings.seen_host()}")
    file = users_file(settings)
    try:
        listed = file.listed()
    except UsersError as error:
        return fault(name, str(error), "Correct PLAYGROUND_USERS_FILE or its rights.")
    if listed.problems:
        return fault(
            name, f"{file.path}, {listed.problems[0]}", "`playground users passwd` writes it anew."
        )
    if not listed.hashes:
        return fault(
            name, f"{file.path} names nobody.", "Add somebody with `playground users add NAME`."
        )
    return ok(name, f"{len(listed.hashes)} in {file.path}")
