"""Fixtures that every test may use."""

from collections.abc import Iterator
from typing import Final

import hypothesis
import pytest

from tests import llamacpp as llamacpp_server
from tests import servers
from tests.postgres import database, postgres
from tests.valkey import valkey

__all__ = [
    "anyio_backend",
    "database",
    "llamacpp",
    "postgres",
    "stand_in",
    "stand_in_url",
    "valkey",
]

# A busy machine may take its time for one example; pytest's own timeout bounds a test. The same
# examples each time here, others and many more with `make fuzz`.
hypothesis.settings.register_profile("patient", deadline=None, derandomize=True)
hypothesis.settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=10_000,
    suppress_health_check=[*hypothesis.HealthCheck],
    print_blob=True,
)
hypothesis.settings.load_profile("patient")


# The longest file, which would be waited for alone if it came last.
_FIRST: Final = "tests/engines/test_conformance.py"
# Their browser, engine and playground are started again when a file from elsewhere comes between.
_TOGETHER: Final = "tests/ui/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which files are handed out to whoever is free (`make test`)."""
    items.sort(
        key=lambda item: (not item.nodeid.startswith(_FIRST), not item.nodeid.startswith(_TOGETHER))
    )


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def stand_in() -> Iterator[servers.Server]:
    """The stand-in with all seven samplers, shared by all tests that do not harm it."""
    with servers.stand_in("--all-samplers") as server:
        yield server


@pytest.fixture(scope="session")
def stand_in_url(stand_in: servers.Server) -> str:
    """Where the shared stand-in listens, without a slash at the end."""
    return stand_in.url


@pytest.fixture(scope="session")
def llamacpp() -> Iterator[servers.Server]:
    """llama.cpp with a small model and four slots of 2048 tokens, for all that do not harm it."""
    with llamacpp_server.llamacpp() as server:
        yield server
