"""What the playground is measured against: the chat of Gradio's and TGI's documentation.

    python -m tests.bench.naive 7861 http://127.0.0.1:8080 300

A `gr.ChatInterface` over huggingface_hub's client that yields the whole text so far at every token.
It is treated well: an async client and generator instead of a thread for each token, and no limit
of events at a time, where Gradio's own are 1 for the function and 40 for the process.
"""

import sys
from collections.abc import AsyncIterator

import gradio as gr
from huggingface_hub import AsyncInferenceClient

_NO_LIMIT = 10_000


def main(port: int, url: str, max_new_tokens: int) -> None:
    """Serve until the process is told to stop; Gradio prints the address."""
    client = AsyncInferenceClient(url, timeout=600)

    async def reply(message: str, history: list[object]) -> AsyncIterator[str]:
        text = ""
        async for token in await client.text_generation(
            message, max_new_tokens=max_new_tokens, stream=True
        ):
            text += token
            yield text

    chat = gr.ChatInterface(reply, concurrency_limit=None, analytics_enabled=False)
    chat.queue(max_size=None).launch(
        server_name="127.0.0.1",
        server_port=port,
        max_threads=_NO_LIMIT,
        ssr_mode=False,
        show_error=True,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
