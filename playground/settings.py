"""The environment, read once: `PLAYGROUND_` variables, also from a file ``.env`` beside them.

A secret may also stand in a file, as Docker's secrets do: ``PLAYGROUND_TGI_API_KEY_FILE`` names it.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AnyHttpUrl,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from playground.errors import PlaygroundError

PREFIX: Final = "PLAYGROUND_"
_SECRETS: Final = ("tgi_api_key", "secret")


class SettingsError(PlaygroundError):
    """A variable cannot be used. A line for each: its name, its value and what is accepted."""

    kind = "settings"


class Settings(BaseSettings):
    """Every setting, with its default. An empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",  # .env is compose's too
        frozen=True,
    )

    tgi_url: Annotated[str, Field(description="an http:// or https:// address")] = (
        "http://127.0.0.1:8080"
    )
    tgi_api_key: Annotated[SecretStr | None, Field(description="a text")] = None
    tgi_api_key_file: Annotated[
        Path | None, Field(description="a file that can be read, with the key in it")
    ] = None
    secret: Annotated[
        SecretStr | None,
        Field(
            min_length=16,
            description="a text of at least 16 characters, the same on every replica; it seals "
            "blind comparisons, and without one each process draws its own",
        ),
    ] = None
    secret_file: Annotated[
        Path | None, Field(description="a file that can be read, with the secret in it")
    ] = None
    host: Annotated[str, Field(description="an address to listen on")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="a number from 0 to 65535; 0 takes a free port")
    ] = 7860
    root_path: Annotated[
        str,
        Field(
            pattern=r"^(/[^/?#\s]+)*$",
            description="a path such as /playground, without a slash at its end",
        ),
    ] = ""
    public_url: Annotated[
        str | None,
        Field(
            description="the http:// or https:// address that browsers use, where that is neither "
            "localhost nor 127.0.0.1"
        ),
    ] = None
    presets_file: Annotated[Path | None, Field(description="a TOML file")] = None
    max_streams: Annotated[
        int, Field(ge=1, description="a whole number from 1: answers written at the same time")
    ] = 200
    context_tokens: Annotated[
        int, Field(ge=256, description="a whole number from 256: prompt and answer together")
    ] = 8192
    model_id: Annotated[
        str,
        Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name, as on the Hugging Face Hub"),
    ] = "ContextualAI/Contextual_KTO_Mistral_PairRM"

    @field_validator("tgi_url", "public_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is None:
            return None
        TypeAdapter(AnyHttpUrl).validate_python(value)
        return value.rstrip("/")

    @field_validator("tgi_api_key_file", "secret_file")
    @classmethod
    def _is_readable(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                path.read_text(encoding="utf-8")
            except OSError as error:
                raise ValueError(error.strerror) from error
        return path

    def known_hosts(self) -> frozenset[str] | None:
        """The names by which browsers may ask for this server; ``None`` is any of them.

        Only a server for this machine alone knows its names: where it listens to others, they may
        call it what they like.
        """
        if not _is_loopback(self.host):
            return None
        own = {
            "localhost",
            "127.0.0.1",
            "[::1]",
            f"[{self.host}]" if ":" in self.host else self.host,
        }
        public = AnyHttpUrl(self.public_url).host if self.public_url else None
        return frozenset({*own, public} if public else own)

    def api_key(self) -> str | None:
        """The key of the engine, from the variable or the file."""
        return _read(self.tgi_api_key, self.tgi_api_key_file)

    def sealing_secret(self) -> str | None:
        """The secret that seals blind comparisons, from the variable or the file."""
        return _read(self.secret, self.secret_file)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _read(secret: SecretStr | None, file: Path | None) -> str | None:
    if file is not None:
        return file.read_text(encoding="utf-8").strip()
    return secret.get_secret_value() if secret is not None else None


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process; `overrides` (field names) go before the environment.

    Raises SettingsError naming every variable that cannot be used.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = str(problem["loc"][0])
            given = "a secret" if name in _SECRETS else repr(problem["input"])
            field = Settings.model_fields[name]
            lines.append(f"{PREFIX}{name.upper()} is {given}; it must be {field.description}.")
        raise SettingsError("\n".join(lines)) from error
