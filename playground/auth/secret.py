"""The secret that signs and seals, drawn once where nobody has set one."""

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from playground.settings import Settings

_log: Final = logging.getLogger(__name__)


def secret_file(settings: Settings) -> Path:
    """Where the secret is kept that is drawn where none is set."""
    return settings.data_dir / "secret"


def known_secret(settings: Settings) -> str | None:
    """The secret that is set, or else the one that is kept; None where none was drawn yet.

    Raises:
        OSError: It cannot be read, or is too short.
    """
    secret = settings.sealing_secret()
    with suppress(FileNotFoundError):
        return secret or _read(secret_file(settings))
    return None


def with_secret(settings: Settings) -> Settings:
    """The settings with a secret: their own, or the one in the data folder.

    A folder that cannot be written to gives one that lasts as long as this process.
    """
    if settings.sealing_secret() is not None:
        return settings
    try:
        secret = _kept(secret_file(settings))
    except OSError as error:
        _log.warning(
            "No secret can be kept in %s (%s), so logins and sealed comparisons end with this "
            "process: set PLAYGROUND_SECRET, or PLAYGROUND_DATA_DIR to a folder that can be "
            "written to.",
            settings.data_dir,
            error.strerror,
        )
        secret = secrets.token_urlsafe(32)
    return settings.model_copy(update={"secret": SecretStr(secret)})


def _kept(path: Path) -> str:
    """The secret in a file, which is made when it is not there. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        return _read(path)
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
        with suppress(FileExistsError):  # another process was quicker: its secret counts
            os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
    return _read(path)


def _read(path: Path) -> str:
    secret = path.read_text(encoding="utf-8").strip()
    if len(secret) < 16:
        raise OSError(0, "the secret in it is shorter than 16 characters")
    return secret
