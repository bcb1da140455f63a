"""The environment, read once: `PLAYGROUND_` variables, also from a file ``.env`` beside them.

A secret may also stand in a file, as Docker's secrets do: ``PLAYGROUND_SECRET_FILE`` names it.
"""

import os
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AliasChoices,
    AnyHttpUrl,
    Field,
    IPvAnyNetwork,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from playground.domain.errors import PlaygroundError
from playground.domain.prompt_formats import FORMATS

PREFIX: Final = "PLAYGROUND_"
EngineChoice = Literal["auto", "tgi", "llamacpp", "vllm", "sglang", "openai"]
# About a hundred times the context: room for long conversations, and half of what TGI takes.
MAX_BODY_BYTES: Final = 1_000_000
_SECRETS: Final = ("engine_api_key", "secret", "database_url", "database_password", "limits_url")
_SECRET_SIGNS: Final = frozenset("@%?#;")  # an address with one of them may hold a secret
_FILE: Final = "a file that can be read"
_KEY: Final = "one line of ASCII characters, without spaces at its ends"
_POSTGRESQL: Final = ("postgresql", "postgres", "postgresql+asyncpg")
_VALKEY: Final = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss"}
# Of an address's options: where a socket is, and how the connection is secured.
_OPTIONS: Final = frozenset({"host", "port", "ssl", "sslmode"})


# What browsers send by themselves, and so any visitor may choose.
_BROWSERS: Final = frozenset(
    {"accept", "accept-language", "cookie", "host", "origin", "referer", "user-agent"}
)

# Other names of settings, from when TGI was the only engine.
OLDER: Final = {
    "tgi_url": "engine_url",
    "tgi_api_key": "engine_api_key",
    "tgi_api_key_file": "engine_api_key_file",
}
# Settings that docker-compose.yml takes from variables with names of their own.
IN_COMPOSE: Final = {"model_id": "MODEL_ID", "published_host": "BIND", "published_port": "PORT"}
# What has the prefix and is no setting of this program: of compose, and of the tests.
_COMPOSE: Final = frozenset({"playground_version", "playground_memory"})
_TESTS: Final = "playground_tests_"


def _also(name: str) -> AliasChoices:
    """A setting's variable, and those that it had before."""
    older = [each for each, newer in OLDER.items() if newer == name]
    return AliasChoices(*[f"{PREFIX}{each}".lower() for each in (name, *older)])


class SettingsError(PlaygroundError):
    """A variable cannot be used. A line for each: its name, its value and what is accepted."""

    kind = "settings"


class _Unreadable(ValueError):
    """Why a file cannot be read, in the system's words."""


class Settings(BaseSettings):
    """Every setting, with its default. An empty variable counts as unset.

    A field's title says what it is for, its description what is accepted: both stand in the table
    of playground/README.md, which `make settings` writes anew, and in what is said of a value that
    cannot be used.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",  # .env is compose's too
        frozen=True,
        populate_by_name=True,
    )

    engine: Annotated[
        EngineChoice,
        Field(
            title="what answers there; auto asks it",
            description="auto, tgi, llamacpp, vllm, sglang or openai",
        ),
    ] = "auto"
    engine_url: Annotated[
        str,
        Field(
            title="where the engine answers; PLAYGROUND_TGI_URL is another name",
            description="an http:// or https:// address without a name, a password or a query in "
            "it",
            validation_alias=_also("engine_url"),
        ),
    ] = "http://127.0.0.1:8080"
    engine_model: Annotated[
        str | None,
        Field(
            title="the model to ask for, where an engine serves several",
            description="a model's name as the engine has it",
        ),
    ] = None
    engine_quantisation: Annotated[
        str,
        Field(
            title="how the model was quantised, where its engine does not tell",
            description="as the page shall show it, such as FP8",
            max_length=20,
        ),
    ] = ""
    engine_api_key: Annotated[
        SecretStr | None,
        Field(
            title="the key of the engine, where it asks for one; PLAYGROUND_TGI_API_KEY is another "
            "name",
            description=_KEY,
            validation_alias=_also("engine_api_key"),
        ),
    ] = None
    engine_api_key_file: Annotated[
        Path | None,
        Field(
            title="the file with that key, instead; PLAYGROUND_TGI_API_KEY_FILE is another name",
            description=f"{_FILE} and holds one line of ASCII characters",
            validation_alias=_also("engine_api_key_file"),
        ),
    ] = None
    engines_file: Annotated[
        Path | None,
        Field(
            title="several engines, a [[engine]] table each, the first of them the default; what "
            "is set of the single engine (ENGINE, ENGINE_…, PROMPT_FORMAT) is not used then",
            description="a TOML file that can be read",
        ),
    ] = None
    prompt_format: Annotated[
        str | None,
        Field(
            title="how conversations are written for the model; without it the model decides",
            description=f"one of {', '.join(FORMATS)}",
            pattern=f"^({'|'.join(FORMATS)})$",
        ),
    ] = None
    secret: Annotated[
        SecretStr | None,
        Field(
            title="signs logins and seals blind comparisons, the same on every replica; without "
            "one it is drawn once and kept in the data folder",
            min_length=16,
            description="a text of at least 16 characters",
        ),
    ] = None
    secret_file: Annotated[
        Path | None, Field(title="the file with that secret, instead", description=_FILE)
    ] = None
    host: Annotated[
        str,
        Field(
            title="where the page listens; 0.0.0.0 opens it to the network",
            description="an address to listen on",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Field(
            title="the port that it listens on; 0 takes a free one",
            ge=0,
            le=65535,
            description="a number from 0 to 65535",
        ),
    ] = 7860
    root_path: Annotated[
        str,
        Field(
            title="the path under which a proxy serves the page",
            pattern=r"^(/[^/?#\s]+)*$",
            description="a path such as /playground, without a slash at its end",
        ),
    ] = ""
    public_url: Annotated[
        str | None,
        Field(
            title="the page's address for browsers, where that is neither localhost nor 127.0.0.1; "
            "a page on loopback answers to no other name",
            description="an http:// or https:// address",
        ),
    ] = None
    presets_file: Annotated[
        Path | None,
        Field(title="presets in the place of those that come with it", description="a TOML file"),
    ] = None
    auth: Annotated[
        Literal["none", "users", "proxy"],
        Field(
            title="who may use the page: whoever reaches it, names and passwords in a file, or "
            "whom a proxy in front names",
            description="none, users or proxy",
        ),
    ] = "none"
    open: Annotated[
        bool,
        Field(
            title="lets strangers in without a login, where none would refuse to start",
            description="true or false",
        ),
    ] = False
    published_host: Annotated[
        str | None,
        Field(
            title="the address under which others see what HOST listens on, where a container or "
            "a port forwarding stands between",
            description="an address",
        ),
    ] = None
    published_port: Annotated[
        str | None,
        Field(
            title="the port under which others see what PORT listens on, likewise",
            pattern=r"^\d{1,5}(-\d{1,5})?$",
            description="a port, or a range of them such as 7860-7869",
        ),
    ] = None
    users_file: Annotated[
        Path | None,
        Field(
            title="names and password hashes, for users; without it `users` in the data folder",
            description="a file of names and hashes",
        ),
    ] = None
    session_hours: Annotated[
        float,
        Field(
            title="how long a login lasts",
            gt=0,
            le=8760,
            description="hours: more than 0, at most 8760",
        ),
    ] = 168.0
    trusted_proxies: Annotated[
        list[IPvAnyNetwork],
        NoDecode,
        Field(
            title="the proxies whose forwarding headers are believed",
            description="addresses or networks with commas between them, such as "
            "127.0.0.1,10.0.0.0/8",
        ),
    ] = []
    proxy_user_header: Annotated[
        str,
        Field(
            title="the header with the name, for proxy",
            pattern=r"^[A-Za-z0-9-]+$",
            description="the name of a header that the proxy alone sets, such as X-Forwarded-User "
            "or Remote-User",
        ),
    ] = "X-Forwarded-User"
    public_links: Annotated[
        bool,
        Field(
            title="whether links that were shared open without a login",
            description="true or false",
        ),
    ] = True
    workers: Annotated[
        int,
        Field(
            title="processes that serve the page on this machine; several want LIMITS_URL, and "
            "share MAX_STREAMS and MAX_WAITING out among them",
            ge=1,
            le=64,
            description="a whole number from 1 to 64",
        ),
    ] = 1
    tunnel: Annotated[
        bool,
        Field(title="opens a temporary public address", description="true or false"),
    ] = False
    max_streams: Annotated[
        int,
        Field(
            title="answers written at the same time; more wait in the queue",
            ge=1,
            description="a whole number from 1",
        ),
    ] = 200
    max_streams_per_user: Annotated[
        int,
        Field(
            title="of one user, or of one address where nobody logs in, those that wait included",
            ge=1,
            description="a whole number from 1",
        ),
    ] = 32
    max_waiting: Annotated[
        int,
        Field(
            title="requests that may wait in the queue; more get a 429",
            ge=0,
            description="a whole number from 0",
        ),
    ] = 100
    max_connections_per_address: Annotated[
        int,
        Field(
            title="connections of one address at the same time; of TRUSTED_PROXIES, which bring "
            "many readers, the requests of each address that they name",
            ge=8,
            description="a whole number from 8",
        ),
    ] = 128
    max_body_bytes: Annotated[
        int,
        Field(
            title="bytes of a request's body", ge=10_000, description="a whole number from 10000"
        ),
    ] = MAX_BODY_BYTES
    max_prompt_tokens: Annotated[
        int | None,
        Field(
            title="tokens of a prompt with its conversation; without it the context's limit alone",
            ge=1,
            description="a whole number from 1",
        ),
    ] = None
    tokens_per_day: Annotated[
        int | None,
        Field(
            title="tokens of prompts and answers that one user, or one address where nobody logs "
            "in, may use in a day (UTC)",
            ge=1,
            description="a whole number from 1",
        ),
    ] = None
    emulation: Annotated[
        bool,
        Field(
            title="applies min_p and penalties that the engine lacks to its tokens; else they are "
            "left out, and the page says so",
            description="true or false",
        ),
    ] = True
    emulation_restarts: Annotated[
        float,
        Field(
            title="the share of an answer's tokens for which the engine may be asked anew; above "
            "it the rest of that answer is written without emulation, which it says",
            ge=0,
            le=1,
            description="a number from 0 to 1",
        ),
    ] = 0.75
    grace_seconds: Annotated[
        float,
        Field(
            title="in which answers may end when the server stops",
            ge=0,
            le=3600,
            description="seconds from 0 to 3600",
        ),
    ] = 25.0
    log_format: Annotated[
        Literal["text", "json"],
        Field(title="the form of the log's lines", description="text or json"),
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(
            title="from which level on lines are written",
            description="debug, info, warning or error",
        ),
    ] = "info"
    metrics_from: Annotated[
        list[IPvAnyNetwork],
        NoDecode,
        Field(
            title="who may read /metrics",
            description="addresses or networks with commas between them, such as "
            "127.0.0.1,10.0.0.0/8; or none",
        ),
    ] = [IPv4Network("127.0.0.0/8"), IPv6Network("::1")]
    context_tokens: Annotated[
        int,
        Field(
            title="tokens of prompt and answer together; the engine's own limit when that is lower",
            ge=256,
            description="a whole number from 256",
        ),
    ] = 8192
    model_id: Annotated[
        str,
        Field(
            title="the model whose card the page About shows, where the playground's own answers",
            pattern=r"^[\w.-]+/[\w.-]+$",
            description="owner/name, as on the Hugging Face Hub",
        ),
    ] = "ContextualAI/Contextual_KTO_Mistral_PairRM"

    data_dir: Annotated[
        Path,
        Field(
            title="where the database, the users and a drawn secret are kept; made when it is not "
            "there; /data in the image",
            description="a folder",
        ),
    ] = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "kto-mistral-playground"
    database_url: Annotated[
        SecretStr | None,
        Field(
            title="PostgreSQL instead of a SQLite file in the data folder; several replicas need "
            "it",
            description="postgresql://user@host/name, with no other options than sslmode, ssl, "
            "host and port",
        ),
    ] = None
    database_password: Annotated[
        SecretStr | None,
        Field(title="its password, where none stands in the address", description="a text"),
    ] = None
    database_password_file: Annotated[
        Path | None, Field(title="the file with that password, instead", description=_FILE)
    ] = None
    limits_url: Annotated[
        SecretStr | None,
        Field(
            title="a Valkey or Redis in which all processes count logins, new links, guesses and "
            "an account's answers together; without it each counts by itself",
            description="valkey://host:port, redis://host:port, or valkeys:// or rediss:// with "
            "TLS; user:password@ may stand before the host and /number behind it",
        ),
    ] = None
    retention_days: Annotated[
        int | None,
        Field(
            title="days after which links are deleted; without it they are kept",
            ge=1,
            description="a whole number from 1",
        ),
    ] = None

    @field_validator("engine_url", "public_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        return None if value is None else plain_address(value)

    @field_validator("trusted_proxies", "metrics_from", mode="wrap")
    @classmethod
    def _is_networks(
        cls, value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> object:
        if value == "none" and info.field_name == "metrics_from":
            return []
        if isinstance(value, str):
            value = [each.strip() for each in value.split(",") if each.strip()]
        try:
            return read(value)
        except ValidationError as error:  # one for each network, where the variable is one text
            raise ValueError("not networks") from error

    @field_validator("engine_api_key_file", "engines_file", "secret_file", "database_password_file")
    @classmethod
    def _is_readable(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                path.read_text(encoding="utf-8")
            except OSError as error:
                raise _Unreadable(error.strerror) from error
            except UnicodeDecodeError as error:  # whose own words hold what stands in the file
                raise _Unreadable("no text in UTF-8") from error
        return path

    @field_validator("engine_api_key", "engine_api_key_file")
    @classmethod
    def _is_key(cls, value: SecretStr | Path | None) -> SecretStr | Path | None:
        if isinstance(value, Path):
            header_text(value.read_text(encoding="utf-8").strip())
        elif value is not None:
            header_text(value.get_secret_value())
        return value

    @field_validator("proxy_user_header")
    @classmethod
    def _is_the_proxys(cls, value: str) -> str:
        if value.lower() in _BROWSERS:
            raise ValueError("a header that browsers set")
        return value

    @field_validator("data_dir")
    @classmethod
    def _at_home(cls, path: Path) -> Path:
        return Path(os.path.expanduser(path))  # which, unlike pathlib's, never raises

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            url = urlsplit(value.get_secret_value())
            options = {name for name, _ in parse_qsl(url.query, keep_blank_values=True)}
            _ = url.port  # raises ValueError when it is no number
            if url.scheme not in _POSTGRESQL or not url.path.strip("/") or options - _OPTIONS:
                raise ValueError("not an address of PostgreSQL")
        return value

    @field_validator("limits_url")
    @classmethod
    def _is_valkey(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            url = urlsplit(value.get_secret_value())
            _ = url.port  # raises ValueError when it is no number
            number = url.path.strip("/")
            if url.scheme not in _VALKEY or not url.hostname or url.query or url.fragment:
                raise ValueError("not an address of Valkey or Redis")
            if number and not number.isdecimal():
                raise ValueError("not the number of a database")
        return value

    def known_hosts(self) -> frozenset[str] | None:
        """The names by which browsers may ask for this server; ``None`` is any of them.

        Only a server for this machine alone knows its names: where it listens to others, they may
        call it what they like.
        """
        seen = self.seen_host()
        if not is_loopback(seen):
            return None
        own = {"localhost", "127.0.0.1", "[::1]", f"[{seen}]" if ":" in seen else seen}
        public = AnyHttpUrl(self.public_url).host if self.public_url else None
        return frozenset({*own, public} if public else own)

    def seen_host(self) -> str:
        """The address under which others see this server."""
        return self.published_host or self.host

    def api_key(self) -> str | None:
        """The key of the engine, from the variable or the file."""
        return _read(self.engine_api_key, self.engine_api_key_file)

    def database_address(self) -> str | None:
        """PostgreSQL's address; ``None`` where the database is a file in the data folder."""
        return self.database_url.get_secret_value() if self.database_url is not None else None

    def database_key(self) -> str | None:
        """The database's password, where it does not stand in the address."""
        return _read(self.database_password, self.database_password_file)

    def limits_address(self) -> str | None:
        """Where processes count together, as Redis's address; ``None`` where none is set."""
        if self.limits_url is None:
            return None
        url = urlsplit(self.limits_url.get_secret_value())
        return url._replace(scheme=_VALKEY[url.scheme]).geturl()

    def sealing_secret(self) -> str | None:
        """The secret that seals blind comparisons, from the variable or the file."""
        return _read(self.secret, self.secret_file)


def plain_address(text: str) -> str:
    """An address of HTTP without a slash at its end, which programs and pages may show.

    Raises:
        ValueError: It is none, or holds more than a place: a name, a password, a query, a fragment.
    """
    url = TypeAdapter(AnyHttpUrl).validate_python(text)
    if any(part is not None for part in (url.username, url.password, url.query, url.fragment)):
        raise ValueError("more than a place")
    return text.rstrip("/")


def header_text(key: str) -> str:
    """A key, as it is, where a header can hold it.

    Raises:
        ValueError: It is empty, has spaces at its ends or another character than ASCII's printable
            ones.
    """
    if not key or key != key.strip() or not (key.isascii() and key.isprintable()):
        raise ValueError("no key")
    return key


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or a name."""
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

    Raises:
        SettingsError: A variable cannot be used; names all that cannot.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = str(problem["loc"][0]).removeprefix(PREFIX.lower())
            name = OLDER.get(name, name)
            field = Settings.model_fields[name]
            secret = name in _SECRETS or (
                name.endswith("_url") and not _SECRET_SIGNS.isdisjoint(str(problem["input"]))
            )
            given = "cannot be used" if secret else f"is {problem['input']!r}"
            reason = problem.get("ctx", {}).get("error")
            wanted = str(field.description)
            if isinstance(reason, _Unreadable):
                wanted += f", and is not: {reason}"
            variable = f"{PREFIX}{name.upper()}"
            if name in IN_COMPOSE:
                variable += f" (in compose {IN_COMPOSE[name]})"
            lines.append(f"{variable} {given}; it must be {wanted} ({field.title}).")
        raise SettingsError("\n".join(lines)) from error


def unknown_names() -> str:
    """What is set under a name that no setting has, in words; empty where there is nothing."""
    settings = [f"{PREFIX}{name}".upper() for name in (*Settings.model_fields, *OLDER)]
    given = {**DotEnvSettingsSource(Settings).env_vars, **EnvSettingsSource(Settings).env_vars}
    words = []
    for name in sorted(each.upper() for each in {each.lower() for each in given} - _COMPOSE):
        if not name.startswith(PREFIX) or name.startswith(_TESTS.upper()) or name in settings:
            continue
        near = get_close_matches(name, settings, 1)
        words.append(f"{name} is no setting{f' (is it {near[0]}?)' if near else ''}")
    return f"{', '.join(words)}: ignored. .env.example has all names." if words else ""
