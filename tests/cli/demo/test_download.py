"""Models from the Hub, against a small Hub of our own on loopback."""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from huggingface_hub import constants, try_to_load_from_cache

from playground.cli.demo import room
from playground.cli.demo.errors import DownloadBroken, ModelError
from playground.cli.demo.hub import choose
from playground.cli.demo.model import LocalModel
from playground.cli.demo.progress import describe
from playground.cli.demo.sources import find_model
from playground.engines.base import Progress
from tests.gguf import gguf
from tests.hub import SHA, Hub, Repository

NAME = "model.Q4_K_M.gguf"
CONTENT = gguf(tensors={"token_embd.weight": (64, 20_000)})  # five megabytes
CUT = 2_000_000


class Reports:
    """What a fetch said; stops it when a sentence comes that `until` is found in."""

    def __init__(self, until: str = "^$") -> None:
        self.sentences: list[str] = []
        self.steps: list[Progress] = []
        self.stopped = threading.Event()
        self._until = until

    def __call__(self, reason: str, progress: Progress | None) -> None:
        if reason:
            self.sentences.append(reason)
            if re.search(self._until, reason):
                self.stopped.set()
        if progress is not None:
            self.steps.append(progress)


@pytest.fixture
def repository() -> Repository:
    return Repository({NAME: CONTENT, "model.Q8_0.gguf": b"GGUF of another", "README.md": b"#"})


@pytest.fixture
def hub(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that huggingface_hub takes for the Hub, as HF_ENDPOINT does when it is imported."""
    with Hub({"org/small": repository}) as hub:
        use(hub.url, tmp_path, monkeypatch)
        yield hub


def use(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))


def fetch(given: str = "org/small", reports: Reports | None = None) -> Path:
    reports = reports or Reports()
    return find_model(given).fetch(reports, reports.stopped)


def refused(given: str = "org/small") -> str:
    with pytest.raises(ModelError) as refusal:
        fetch(given)
    return str(refusal.value)


def test_the_usual_file_is_fetched_once_and_then_found_without_the_hub(hub: Hub) -> None:
    reports = Reports()
    path = fetch(reports=reports)
    assert path.read_bytes() == CONTENT
    assert hub.fetched() == {NAME}
    first, last = reports.steps[0], reports.steps[-1]
    assert (first.done, first.total) == (0, len(CONTENT))
    assert last.done == len(CONTENT)
    assert last.what == f"Downloading {NAME}"
    assert re.match(rf"Downloading {NAME}: 5\.12 MB of 5\.12 MB \(100 %\), .*/s", describe(last))
    hub.requests.clear()
    hub.close()
    again = find_model("org/small:q4_k_m")
    assert isinstance(again, LocalModel)
    assert again.name == "org/small"
    assert again.path.read_bytes() == CONTENT
    assert not hub.requests


def test_the_only_file_is_found_again_under_the_repositorys_name(hub: Hub) -> None:
    hub.repositories = {"org/one": Repository({"one.gguf": CONTENT})}
    path = fetch("org/one")
    hub.close()
    again = find_model("org/one")
    assert isinstance(again, LocalModel)
    assert (again.path.name, again.path.read_bytes()) == ("one.gguf", CONTENT)
    assert again.path == path


def test_a_break_is_mended_at_the_byte(hub: Hub, repository: Repository) -> None:
    repository.break_after[NAME] = CUT
    reports = Reports()
    assert fetch(reports=reports).read_bytes() == CONTENT
    assert hub.ranges(NAME) == [None, f"bytes={CUT}-"]
    [broken, _] = reports.sentences
    assert "broke" in broken
    assert "2 MB of 5.12 MB are here; it goes on from there in 1 s." in broken


def test_what_was_stopped_goes_on_at_the_next_start(
    hub: Hub, repository: Repository, tmp_path: Path
) -> None:
    repository.break_after[NAME] = CUT
    with pytest.raises(DownloadBroken):
        fetch(reports=Reports(until="goes on from there"))
    assert [path.stat().st_size for path in tmp_path.rglob("*.part")] == [CUT]
    hub.requests.clear()
    assert fetch().read_bytes() == CONTENT
    assert hub.ranges(NAME) == [f"bytes={CUT}-"]


def test_a_hub_that_is_away_is_waited_for(hub: Hub, repository: Repository) -> None:
    """It goes in mid-download and comes back on the same port."""
    repository.break_after[NAME] = CUT
    model = find_model("org/small")
    said: list[str] = []
    with ExitStack() as stack:
        back: list[Hub] = []

        def report(reason: str, progress: Progress | None) -> None:
            said.append(reason)
            if "goes on from there in 1 s" in reason and not hub.closed:
                hub.close()
            elif "goes on from there in 2 s" in reason:
                back.append(stack.enter_context(Hub({"org/small": repository}, hub.port)))

        assert model.fetch(report, threading.Event()).read_bytes() == CONTENT
        assert any("The connection to the Hub broke" in each for each in said)
        assert back[0].ranges(NAME) == [f"bytes={CUT}-"]


def test_a_silent_hub_is_said(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    repository.break_after[NAME] = CUT
    repository.stay_silent = True
    reports = Reports()
    assert fetch(reports=reports).read_bytes() == CONTENT
    assert "The Hub sent nothing for 0.5 s. 2 MB of 5.12 MB are here" in reports.sentences[0]
    assert hub.ranges(NAME) == [None, f"bytes={CUT}-"]


def test_another_content_is_refused_and_removed(
    hub: Hub, repository: Repository, tmp_path: Path
) -> None:
    repository.damage = True
    message = refused()
    assert "is not what the Hub announced: its SHA-256 is" in message
    assert "The file was removed. Start again" in message
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("*.gguf"))
    repository.damage = False
    assert fetch().read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_too_little_room_is_said_before_the_first_byte(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    repository.sizes = {NAME: 10**18 if place == "disk" else len(CONTENT)}
    if place == "memory":
        monkeypatch.setattr("playground.cli.demo.hub.free_memory", lambda: 1_000_000)
    message = refused()
    assert f"does not fit {'onto the disk' if place == 'disk' else 'into memory'}" in message
    assert ("1,000,000,000 GB are to come" if place == "disk" else "1 MB are free") in message
    assert "Nothing was fetched." in message
    assert hub.fetched() == set()


def test_what_is_already_here_needs_no_room(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.break_after[NAME] = CUT
    with pytest.raises(DownloadBroken):
        fetch(reports=Reports(until="goes on from there"))
    asked: list[int] = []
    monkeypatch.setattr(
        "playground.cli.demo.hub.check_disk", lambda missing, *_: asked.append(missing)
    )
    find_model("org/small")
    assert asked == [len(CONTENT) - CUT]


@pytest.mark.parametrize("etag", ["f" * 64, "../../../escaped"])
def test_what_was_checked_is_what_runs_and_other_programs_find_it(
    hub: Hub, repository: Repository, tmp_path: Path, etag: str
) -> None:
    """Whatever the Hub says of the file after that."""
    repository.etag = etag
    path = fetch()
    [blob] = (path for path in tmp_path.rglob("blobs/*") if path.suffix != ".lock")
    assert path.resolve() == blob.resolve()
    assert path.read_bytes() == CONTENT
    assert try_to_load_from_cache("org/small", NAME, cache_dir=tmp_path, revision=SHA) == str(path)
    assert [method for method, where, _ in hub.requests if where.endswith(NAME)] == ["GET"]


@pytest.mark.parametrize(
    ("what", "lie"),
    [
        ("sha256", "../../escaped"),
        ("sha256", "/tmp/escaped"),
        ("sha256", "A" * 64),
        ("sha256", 5),
        ("sha256", None),
        ("sha", "../../../escaped"),
        ("sha", "main"),
        ("sha", None),
        ("size", "5000"),
        ("size", 5000.0),
        ("size", True),
        ("size", 0),
        ("size", -5),
        ("size", None),
    ],
)
def test_a_hub_that_says_what_cannot_be_is_refused(
    hub: Hub, repository: Repository, tmp_path: Path, what: str, lie: object
) -> None:
    """Hash and commit are paths of the cache."""
    repository.lies = {what: lie}
    assert "does not tell the commit, the size and the hash of" in refused()
    assert hub.fetched() == set()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "../../../../a.Q4_K_M.gguf",
        "/tmp/a.Q4_K_M.gguf",
        "a/./b.gguf",
        "..\\a.Q4_K_M.gguf",
        "\x1b]0;title\x07a.Q4_K_M.gguf",
        "a\x9b31m.gguf",
        "\ud800.gguf",
        5,
        None,
    ],
    ids=range(9),
)
def test_a_name_that_leads_elsewhere_is_no_file(
    hub: Hub, repository: Repository, name: object
) -> None:
    repository.lies = {"rfilename": name}
    assert "org/small holds no GGUF file" in refused()
    assert hub.fetched() == set()


def test_a_token_opens_what_is_private_and_goes_to_the_hub_alone(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.token = "hf_canary"
    repository.redirected = True
    message = refused()
    assert "(401)" in message
    assert "set HF_TOKEN" in message
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    hub.tokens.clear()
    assert fetch().read_bytes() == CONTENT
    elsewhere = {token for host, token in hub.tokens if host.startswith("localhost")}
    assert elsewhere == {None}
    assert "Bearer hf_canary" in {token for _, token in hub.tokens}


@pytest.mark.usefixtures("hub")
def test_a_token_that_cannot_be_read_is_no_fault_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    message = refused()
    assert f"{tmp_path / 'token'} cannot be read: Is a directory" in message
    assert "HF_TOKEN_FILE" in message


def test_a_gated_file_names_the_token(hub: Hub, repository: Repository) -> None:
    repository.gated = True
    message = refused()
    assert "its terms must be accepted" in message
    assert "HF_TOKEN" in message


def test_a_repository_that_is_not_there(hub: Hub) -> None:
    assert "There is no org/none on the Hub (404)" in refused("org/none")


def test_a_file_that_has_gone(hub: Hub, repository: Repository) -> None:
    repository.statuses[NAME] = 404
    assert "a file of it has gone" in refused()


def test_what_is_longer_than_the_file_is_fetched_anew(hub: Hub, repository: Repository) -> None:
    """A Range that the Hub cannot satisfy: 416."""
    repository.break_after[NAME] = CUT
    with pytest.raises(DownloadBroken):
        fetch(reports=Reports(until="goes on from there"))
    repository.statuses[NAME] = 416
    reports = Reports()

    def report(reason: str, progress: Progress | None) -> None:
        reports(reason, progress)
        repository.statuses.clear()

    hub.requests.clear()
    path = find_model("org/small").fetch(report, reports.stopped)
    assert path.read_bytes() == CONTENT
    assert "ends before the 2 MB that were here (416); it is fetched anew" in reports.sentences[0]
    assert hub.ranges(NAME) == [f"bytes={CUT}-", None]


def test_an_overloaded_hub_is_asked_again(hub: Hub, repository: Repository) -> None:
    repository.statuses[NAME] = 503
    reports = Reports()

    def report(reason: str, progress: Progress | None) -> None:
        reports(reason, progress)
        repository.statuses.clear()

    path = find_model("org/small").fetch(report, reports.stopped)
    assert path.read_bytes() == CONTENT
    assert reports.sentences[0].startswith("The Hub answered 503.")


def test_a_hub_that_is_away_from_the_start(hub: Hub) -> None:
    hub.close()
    message = refused()
    assert f"The Hub at {hub.url} cannot be reached" in message
    assert "org/small was not fetched before" in message


@pytest.mark.parametrize(
    ("names", "quantisation", "chosen"),
    [
        (["a.Q4_K_M.gguf", "a.Q8_0.gguf"], "", "a.Q4_K_M.gguf"),
        (["a-Q4_K_M.gguf", "a-Q8_0.gguf"], "q8_0", "a-Q8_0.gguf"),
        (["a-Q4_K_S.gguf", "a-Q4_K_M.gguf", "a-UD-Q4_K_M.gguf"], "Q4_K_M", "a-Q4_K_M.gguf"),
        (["mmproj-F16.gguf", "a-F16.gguf"], "F16", "a-F16.gguf"),
        (["only.gguf", "mmproj.gguf"], "", "only.gguf"),
        (["x/a-Q4_K_M.gguf"], "", "x/a-Q4_K_M.gguf"),
        (["a.gguf", "b.gguf"], "b.gguf", "b.gguf"),
        (
            ["KTO_Mistral-IQ4_XS.gguf", "KTO_Mistral-Q4_K_M.gguf"],
            "IQ4_XS",
            "KTO_Mistral-IQ4_XS.gguf",
        ),
    ],
)
def test_the_file_that_is_meant(names: list[str], quantisation: str, chosen: str) -> None:
    assert choose(names, quantisation, "org/a") == chosen


@pytest.mark.parametrize(
    ("names", "quantisation", "said"),
    [
        (["model.safetensors"], "", "org/a holds no GGUF file"),
        (["a.Q8_0.gguf", "a.Q2_K.gguf"], "", "has Q4_K_M not. Choose one of Q2_K, Q8_0"),
        (["a-Q4_K_M-00001-of-00002.gguf"], "", "only in several files"),
        (["a.gguf", "b.gguf"], "", "Its files: a.gguf, b.gguf"),
    ],
)
def test_no_file_that_could_be_meant(names: list[str], quantisation: str, said: str) -> None:
    with pytest.raises(ModelError, match=re.escape(said)):
        choose(names, quantisation, "org/a")


def test_names_that_are_no_model() -> None:
    for given in ("nothing", "a/b/c", "https://example.com/a.gguf:1", ""):
        with pytest.raises(ModelError, match="is no model"):
            find_model(given)


def test_memory_is_known_here() -> None:
    free = room.free_memory()
    assert free is not None
    assert 10**7 < free < 10**14
