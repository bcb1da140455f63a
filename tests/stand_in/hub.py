"""Fetching a model from the Hugging Face Hub.

Of a repository only what is needed is fetched: one graph with its external data, and the small
files beside it. They go to the Hub's usual cache.
"""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import (
    HfApi,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from tests.stand_in.files import (
    GRAPHS,
    Files,
    NoModel,
    choose_graph,
    external_data,
    open_folder,
    read_files,
    read_json,
)

SMALL = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "tokenizer.json",
)
SHA256 = 64  # hexadecimal digits; the etag of a large file on the Hub is its SHA-256


def fetch(repository: str, revision: str | None = None) -> Files:
    """The files of a repository, fetched where they are not in the Hub's cache yet.

    Where the Hub cannot be reached, what is in the cache is taken.

    Raises:
        NoModel: The model cannot be had; the text says why and what to do.
    """
    try:
        found = HfApi().model_info(repository, revision=revision)
    except RevisionNotFoundError:
        raise NoModel(f"{repository} has no revision {revision}.") from None
    except RepositoryNotFoundError:
        raise NoModel(
            f"There is no repository {repository} on the Hub, or it is private. Check the name; "
            "for a private one set HF_TOKEN."
        ) from None
    except Exception as error:  # from the Hub's client: refused, timed out, no route, no DNS, …
        return _cached(repository, revision, error)
    names = [file.rfilename for file in found.siblings or []]
    graph = choose_graph(names)
    if graph is None:
        raise NoModel(
            f"{repository} holds no ONNX export of a language model. Expected one of "
            f"{', '.join(GRAPHS)}, at its top or in onnx/. Many models are exported in "
            "repositories of their own: look for the name with onnx on the Hub."
        )
    if "tokenizer.json" not in names:
        raise NoModel(
            f"{repository} has no tokenizer.json, and without one its text is unreadable."
        )
    small = [name for name in SMALL if name in names]
    try:
        folder = _folder([hf_hub_download(repository, name, revision=found.sha) for name in small])
        _refuse_other_kinds(repository, read_json(folder / "config.json"))
        for name in (*external_data(graph, names), graph):  # the graph last: then all is there
            _fetch_large(repository, name, found.sha)
        # By its branch as well: that is noted in the cache, and found there without the Hub.
        hf_hub_download(repository, "tokenizer.json", revision=revision)
    except GatedRepoError:
        raise NoModel(
            f"{repository} is gated: accept its terms on its page on the Hub, then set HF_TOKEN to "
            "a token of that account."
        ) from None
    return read_files(folder, graph, repository, found.sha)


def _cached(repository: str, revision: str | None, error: Exception) -> Files:
    found = try_to_load_from_cache(repository, "tokenizer.json", revision=revision)
    if isinstance(found, str):
        folder = Path(found).parent
        with contextlib.suppress(NoModel):
            return replace(open_folder(folder, repository), sha=folder.name)
    raise NoModel(
        f"The Hub cannot be reached, and {repository} is not complete in the cache: {error}"
    ) from None


def _folder(paths: Sequence[str]) -> Path:
    return Path(next(path for path in paths if path.endswith("tokenizer.json"))).parent


def _refuse_other_kinds(repository: str, config: Mapping[str, Any]) -> None:
    """Before a large file is fetched: what config.json already says."""
    kinds = [str(kind) for kind in config.get("architectures") or []]
    decoder = any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds)
    if config.get("is_encoder_decoder") or (kinds and not decoder):
        raise NoModel(
            f"{repository} is no decoder-only language model but {', '.join(kinds) or 'another'}; "
            "only decoder-only models can be served."
        )


def _fetch_large(repository: str, name: str, revision: str | None) -> None:
    """One file into the Hub's cache, with a progress bar.

    What has arrived is kept when the connection breaks, or the program is stopped, and fetching
    goes on behind it, at once and at the next start; hf_hub_download would begin anew.
    """
    url = hf_hub_url(repository, name, revision=revision)
    about = get_hf_file_metadata(url)
    assert about.etag is not None
    blobs = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    whole, part = blobs / about.etag, blobs / f"{about.etag}.part"
    # The files behind a redirect are signed, and a token has no business on another host.
    own = urlsplit(about.location).netloc == urlsplit(url).netloc
    headers = build_hf_headers() if own else build_hf_headers(token=False)
    before = -1
    while not whole.exists():
        arrived = part.stat().st_size if part.exists() else 0
        try:
            with part.open("ab") as file:
                http_get(
                    about.location,
                    file,
                    resume_size=arrived,
                    headers=headers,
                    expected_size=about.size,
                    displayed_filename=name,
                )
        except Exception as error:
            if part.stat().st_size <= max(before, arrived):
                raise NoModel(
                    f"Fetching {name} of {repository} broke off after {part.stat().st_size} of "
                    f"{about.size} bytes ({error}). Start again to go on from there."
                ) from None
            before = arrived
            continue
        if len(about.etag) == SHA256 and _sha256(part) != about.etag:
            part.unlink()
            raise NoModel(f"{name} of {repository} arrived damaged. Start again to fetch it anew.")
        part.replace(whole)
    hf_hub_download(repository, name, revision=revision)  # nothing to fetch: links it into place


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
