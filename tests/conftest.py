"""Fixtures that every test may use."""

from collections.abc import Iterator

import hypothesis
import pytest

from tests import servers
from tests.postgres import database, postgres

__all__ = [
    "anyio_backend",
    "database",
    "embedded",
    "embedded_url",
    "postgres",
]

# A busy machine may take its time for one example; pytest's own timeout bounds a test.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def embedded() -> Iterator[servers.Server]:
    """The embedded engine as a process, shared by all tests that do not harm it."""
    with servers.embedded() as server:
        yield server


@pytest.fixture(scope="session")
def embedded_url(embedded: servers.Server) -> str:
    """Where the shared embedded engine listens, without a slash at the end."""
    return embedded.url
