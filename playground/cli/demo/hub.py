"""Models of the Hugging Face Hub: which file is meant, and where it is in the Hub's cache.

A file goes to the cache that all programs on huggingface_hub share, and is found there again, then
without asking the Hub.
"""

import os
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeGuard

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from huggingface_hub.file_download import repo_folder_name

from playground.cli.demo.download import HubFile, download, refusal
from playground.cli.demo.errors import ModelError
from playground.cli.demo.model import LocalModel, Model, Report
from playground.cli.demo.room import check_disk, check_memory, free_memory

_USUAL: Final = "Q4_K_M"
_PART: Final = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
# A quantisation in a file's name, between other parts of it.
_QUANTISATION: Final = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q\d|TQ\d|MXFP\d)[A-Z0-9_]*|BF16|F16|F32)(?=[-.]|$)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the Hub that is not here yet, or not whole."""

    file: HubFile

    @property
    def name(self) -> str:
        """The repository."""
        return self.file.repository

    def fetch(self, report: Report, stopped: threading.Event) -> Path:
        """The file, from the cache or through it."""
        download(self.file, _blobs(self.name), report, stopped)
        try:
            return _place(self.file)
        except OSError as error:
            raise ModelError(
                f"{self.file.name} has arrived, but cannot be put into its place in "
                f"{constants.HF_HUB_CACHE}: {error.strerror}. Give the right to write there, and "
                "start again: it is not fetched anew."
            ) from error


def find_on_hub(repository: str, quantisation: str) -> Model:
    """The file of a repository, in the cache or on the Hub; it fits onto the disk and into memory.

    Args:
        quantisation: As in the files' names, or a file's whole name; "" takes Q4_K_M.

    Raises:
        ModelError: There is none, the Hub does not give it, or there is no room.
    """
    if (path := _cached(repository, quantisation)) is not None:
        return LocalModel(repository, path)
    try:
        token = get_token()
    except OSError as error:
        raise ModelError(
            f"The Hub's token in {error.filename} cannot be read: {error.strerror}. Give this user "
            "the right to (with compose `chmod 644` for HF_TOKEN_FILE), or unset it: few models "
            "need one."
        ) from error
    try:
        found = HfApi(token=token).model_info(
            repository, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    except GatedRepoError as error:
        raise ModelError(refusal(401, repository)) from error
    except HfHubHTTPError as error:
        raise ModelError(refusal(error.response.status_code, repository)) from error
    except Exception as error:  # from the Hub's client: refused, timed out, no route, no DNS, …
        raise ModelError(
            f"The Hub at {constants.ENDPOINT} cannot be reached ({error}), and {repository} was "
            "not fetched before. Check the connection, or give a GGUF file that is here."
        ) from error
    files = {each.rfilename: each for each in found.siblings or [] if _is_path(each.rfilename)}
    name = choose(files, quantisation, repository)
    about = files[name]
    sha256 = about.lfs.sha256 if about.lfs else None
    # The first two become paths of the cache, and a mirror may say anything.
    if not (_is_hex(found.sha, 40) and _is_hex(sha256, 64) and _is_count(about.size)):
        raise ModelError(
            f"The Hub does not tell the commit, the size and the hash of {name} of {repository} as "
            "it should, so that it could not be checked. Take another repository of this model."
        )
    file = HubFile(repository, found.sha, name, about.size, sha256)
    blobs = _blobs(repository)
    check_disk(file.size - file.arrived(blobs), blobs, name)
    check_memory(file.size, name, free_memory())
    return HubModel(file)


def choose(names: Iterable[str], quantisation: str, repository: str) -> str:
    """The name of the file that is meant.

    Raises:
        ModelError: None is, or one in several parts.
    """
    models = [name for name in names if name.endswith(".gguf") and "mmproj" not in name]
    if not models:
        raise ModelError(
            f"{repository} holds no GGUF file. Look for a repository of the same model with GGUF "
            "in its name."
        )
    if quantisation in models:
        return quantisation
    whole = sorted(name for name in models if not _PART.search(name))
    wanted = (quantisation or _USUAL).lower()
    for name in whole:
        if wanted in (each.lower() for each in _QUANTISATION.findall(name)):
            return name
    if not quantisation and len(whole) == 1:
        return whole[0]
    there = sorted({each.upper() for name in whole for each in _QUANTISATION.findall(name)})
    split = any(wanted in (x.lower() for x in _QUANTISATION.findall(name)) for name in models)
    why = "only in several files, which the demo does not put together" if split else "not"
    choice = f"Choose one of {', '.join(there)}" if there else f"Its files: {', '.join(whole)}"
    raise ModelError(
        f"{repository} has {quantisation or _USUAL} {why}. {choice}, as in "
        f"{repository}:{there[0] if there else 'FILE.gguf'}."
    )


def _is_path(name: object) -> bool:
    """Whether it is a file's name in a repository, and stays in its folder here too."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and "\\" not in name
        and not {"", ".", ".."}.intersection(name.split("/"))
    )


def _is_hex(said: object, length: int) -> TypeGuard[str]:
    return isinstance(said, str) and re.fullmatch(f"[0-9a-f]{{{length}}}", said) is not None


def _is_count(said: object) -> TypeGuard[int]:
    return type(said) is int and said > 0


def _blobs(repository: str) -> Path:
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / folder / "blobs"


def _place(file: HubFile) -> Path:
    """Link a file that was checked to where programs on huggingface_hub look for it.

    Not by `hf_hub_download`, which asks the Hub again, and takes what it then says unchecked.
    """
    blobs = _blobs(file.repository)
    path = blobs.parent / "snapshots" / file.revision / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(os.path.relpath(blobs / file.sha256, path.parent))
    return path


def _cached(repository: str, quantisation: str) -> Path | None:
    """The file, where it was fetched before; of the newest snapshot that has it."""
    snapshots = [each for each in _blobs(repository).parent.glob("snapshots/*") if each.is_dir()]
    for snapshot in sorted(snapshots, key=lambda each: each.stat().st_mtime, reverse=True):
        paths = {
            path.relative_to(snapshot).as_posix(): path
            for path in snapshot.rglob("*.gguf")
            if path.is_file()
        }
        if not quantisation and len(paths) == 1 and not _QUANTISATION.search(min(paths)):
            return paths[min(paths)]
        try:
            return paths[choose(paths, quantisation or _USUAL, repository)]
        except ModelError:
            continue
    return None
