"""TGI's own Python client, the package `text-generation`, against the stand-in.

What its own tests ask of a server, but for the words of the model behind it.
"""

from collections.abc import Iterator

import pytest
from text_generation import AsyncClient, Client
from text_generation.errors import ValidationError
from text_generation.types import FinishReason, Response, StreamResponse

from tests.servers import stand_in

# It calls what Pydantic would now call by another name.
pytestmark = pytest.mark.filterwarnings("ignore:The `dict` method is deprecated")

BEST_OF = {"max_new_tokens": 1, "best_of": 2, "do_sample": True, "decoder_input_details": True}
TOO_MANY = ["a"] * 5


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with stand_in() as server:
        yield server.url


def is_one_token(response: Response) -> None:
    details = response.details
    assert details is not None
    assert details.finish_reason == FinishReason.Length
    assert details.generated_tokens == 1
    assert details.seed is None
    assert (details.prefill[0].id, details.prefill[0].text) == (1, "<s>")
    assert "".join(token.text for token in details.prefill[1:]) == "test"
    first, *others = [token.logprob for token in details.prefill]
    assert first is None
    assert others
    assert all(logprob is not None and logprob < 0 for logprob in others)
    (token,) = details.tokens
    assert token.text == response.generated_text
    assert not token.special


def is_the_better_of_two(response: Response) -> None:
    details = response.details
    assert details is not None
    assert details.seed is not None
    assert details.best_of_sequences is not None
    (other,) = details.best_of_sequences
    assert other.seed not in (None, details.seed)
    assert [token.id for token in other.prefill] == [token.id for token in details.prefill]


def is_one_event(responses: list[StreamResponse]) -> None:
    (response,) = responses
    assert response.generated_text == response.token.text
    assert response.details is not None
    assert response.details.finish_reason == FinishReason.Length
    assert response.details.generated_tokens == 1
    assert response.details.seed is None


def test_generate(url: str) -> None:
    is_one_token(Client(url).generate("test", max_new_tokens=1, decoder_input_details=True))


def test_generate_best_of(url: str) -> None:
    is_the_better_of_two(Client(url).generate("test", **BEST_OF))


def test_generate_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="`stop` supports up to 4 stop sequences"):
        Client(url).generate("test", stop_sequences=TOO_MANY)


def test_generate_stream(url: str) -> None:
    is_one_event(list(Client(url).generate_stream("test", max_new_tokens=1)))


def test_generate_stream_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="`stop` supports up to 4 stop sequences"):
        list(Client(url).generate_stream("test", stop_sequences=TOO_MANY))


async def test_generate_async(url: str) -> None:
    client = AsyncClient(url)
    is_one_token(await client.generate("test", max_new_tokens=1, decoder_input_details=True))


async def test_generate_async_best_of(url: str) -> None:
    is_the_better_of_two(await AsyncClient(url).generate("test", **BEST_OF))


async def test_generate_async_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="`stop` supports up to 4 stop sequences"):
        await AsyncClient(url).generate("test", stop_sequences=TOO_MANY)


async def test_generate_stream_async(url: str) -> None:
    stream = AsyncClient(url).generate_stream("test", max_new_tokens=1)
    is_one_event([response async for response in stream])


async def test_generate_stream_async_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="`stop` supports up to 4 stop sequences"):
        async for _ in AsyncClient(url).generate_stream("test", stop_sequences=TOO_MANY):
            pass
