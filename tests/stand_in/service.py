"""What the routes share: admission, checking, counting, and the parts of an answer on the wire."""

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tests.stand_in import requests
from tests.stand_in.answers import Failed, Job, Token
from tests.stand_in.batching import Engine
from tests.stand_in.metrics import Metrics
from tests.stand_in.requests import Generate, Invalid, Limits
from tests.stand_in.text import Text, apart

Json = dict[str, Any]


class Refused(Exception):
    """An answer of TGI's form {"error", "error_type"}, with its status outside of streams."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"error": message, "error_type": kind}


class Service:
    """What the routes share.

    Args:
        engine: Writes the answers.
        text: The tokenizer and the chat template.
        limits: Of requests.
        metrics: Of this server.
        info: The body of /info; `model_id` is the model's name there.
    """

    def __init__(
        self, engine: Engine, text: Text, limits: Limits, metrics: Metrics, info: Json
    ) -> None:
        self.engine = engine
        self.text = text
        self.limits = limits
        self.metrics = metrics
        self.info = info
        self.running = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place among the requests that run or wait.

        Raises:
            Refused: When there is none.
        """
        if self.running >= self.limits.max_concurrent_requests:
            self.metrics.count("tgi_request_failure", err="overloaded")
            raise Refused(429, "overloaded", "Model is overloaded")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def job(self, body: Mapping[str, Any], *, stream: bool) -> tuple[Generate, Job]:
        """Make a request that was read a job.

        Raises:
            Refused: The request cannot be served; carries TGI's answer.
        """
        begun = time.monotonic()
        try:
            request = requests.parse(body, self.limits, stream=stream)
            inputs, most = request.inputs, request.truncate
            tokens = await apart(inputs, lambda: self.text.encode(inputs, most=most))
            piece = requests.fit(request, len(tokens), self.limits)
        except Invalid as error:
            self.metrics.count("tgi_request_failure", err="validation")
            raise Refused(422, "validation", f"Input validation error: {error}") from None
        self.metrics.observe("tgi_request_input_length", len(tokens))
        self.metrics.observe("tgi_request_max_new_tokens", piece)
        self.metrics.observe("tgi_request_validation_duration", time.monotonic() - begun)

        def following(written: str) -> tuple[list[int], int] | None:
            prompt = self.text.encode(inputs + written, most=most)
            try:
                return prompt, requests.fit(request, len(prompt), self.limits)
            except Invalid:
                return None

        job = Job(
            prompt=tokens,
            limit=request.max_new_tokens or self.limits.max_total_tokens - len(tokens),
            piece=piece,
            following=following,
            sampling=request.sampling,
            stop=request.stop,
            top_n_tokens=request.top_n_tokens,
            prefill=request.prefill,
        )
        return request, job

    def failure(self, event: Failed) -> Refused:
        """Count an answer that failed, as the error that TGI gives."""
        self.metrics.count("tgi_request_failure", err="generation")
        message = f"Request failed during generation: {event.message}"
        return Refused(424, "generation", message)

    def success(self, job: Job, tokens: int, arrived: float) -> dict[str, str]:
        """Count an answer that ended by itself. Gives TGI's headers about it."""
        now = time.monotonic()
        inference = now - job.started
        durations = {
            "tgi_request_duration": now - arrived,
            "tgi_request_queue_duration": job.started - job.queued,
            "tgi_request_inference_duration": inference,
            "tgi_request_mean_time_per_token_duration": inference / tokens,
        }
        self.metrics.count("tgi_request_success")
        self.metrics.observe("tgi_request_generated_tokens", tokens)
        for name, seconds in durations.items():
            self.metrics.observe(name, seconds)
        return {
            "x-compute-type": "cpu",
            "x-compute-time": str(now - arrived),
            "x-total-time": str(round((now - arrived) * 1000)),
            "x-validation-time": str(round((job.queued - arrived) * 1000)),
            "x-queue-time": str(round((job.started - job.queued) * 1000)),
            "x-inference-time": str(round(inference * 1000)),
            "x-time-per-token": str(round(inference / tokens * 1000)),
            "x-prompt-tokens": str(len(job.prompt)),
            "x-generated-tokens": str(tokens),
        }


def another(job: Job) -> Job:
    """The same job with a seed of its own."""
    return Job(
        job.prompt,
        job.limit,
        job.piece,
        job.following,
        replace(job.sampling, seed=secrets.randbits(64)),
        job.stop,
        job.top_n_tokens,
        job.prefill,
    )


def whole(asked: Generate, text: str) -> str:
    """The text of an answer, behind its prompt where that was asked for."""
    return asked.inputs + text if asked.return_full_text else text


def seed(job: Job) -> int | None:
    """The seed of an answer; TGI reports none where nothing was drawn."""
    return job.sampling.seed if job.sampling.sample else None


def token_json(token: Token) -> Json:
    """A token on the wire."""
    return {
        "id": token.id,
        "text": token.text,
        "logprob": token.logprob,
        "special": token.special,
    }
