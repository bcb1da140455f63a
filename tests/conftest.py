"""Fixtures that every test may use."""

from collections.abc import Iterator

import pytest

from tests import servers


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
