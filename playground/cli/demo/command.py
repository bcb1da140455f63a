"""`playground demo`: llama.cpp on this machine, and the page in front of it."""

import os
import secrets
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Final

from playground.cli.demo.llamacpp import KEY, UNUSABLE, require_runtime
from playground.cli.demo.sources import find_model
from playground.cli.demo.supervisor import Supervisor
from playground.cli.serve import say, serve
from playground.domain.presets import Preset
from playground.domain.samplers import Sampler
from playground.engines.base import EngineAddress
from playground.engines.llamacpp import LlamaCppEngine
from playground.engines.registry import DEFAULT, Engines
from playground.settings import Settings

# The sampling that the makers of SmolLM2 recommend. With the presets of a model fifty times as
# large it answers "What is 2+2?" with anything.
_SMOLLM2: Final = Preset(
    id="smollm2",
    name="SmolLM2",
    description="What the makers of this small model recommend.",
    source="The model card of HuggingFaceTB/SmolLM2-135M-Instruct.",
    sampler=Sampler(temperature=0.2, top_p=0.9),
    max_new_tokens=512,
    default=True,
)


def demo(settings: Settings, given: str | None) -> int:
    """Run llama.cpp as a process of its own beside the page, and end it with the page.

    Args:
        given: The model, as `find_model` takes it.

    Returns:
        The exit status.
    """
    require_runtime()
    model = find_model(given)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    def command(path: Path) -> list[str]:
        return [
            sys.executable, "-m", "playground.cli.demo.llamacpp", "--child",
            "--model", str(path), "--name", model.name, "--port", str(port),
        ]  # fmt: skip

    # Other users of this machine and web pages reach the port as well. It is not in the command,
    # which others can read. One that was set is taken, so that programs beside this one can ask.
    given_key = settings.api_key()
    key = given_key or secrets.token_urlsafe(32)
    with Supervisor(
        model, command, partial(say, settings), environment={**os.environ, KEY: key}
    ) as supervisor:
        address = EngineAddress(DEFAULT, "llamacpp", url, api_key=key, key_drawn=given_key is None)
        engine = LlamaCppEngine.at(address, starting=supervisor.state)
        # The demo's engine is the only one, whatever else the settings name.
        settings = settings.model_copy(
            update={
                "engine": address.kind,
                "engine_url": url,
                "engines_file": None,
                "workers": 1,  # the process that tends the engine
            }
        )
        status = serve(
            settings,
            Engines((address,), (engine,)),
            presets=() if given or settings.presets_file else (_SMOLLM2,),
            beside=supervisor.start,
        )
        return UNUSABLE if supervisor.failed else status
