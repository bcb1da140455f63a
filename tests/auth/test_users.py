"""Who may log in: the file, the passwords, and the command line."""

import asyncio
import io
import os
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from playground.auth.backends import UserLogin, WrongPassword
from playground.auth.passwords import Passwords, stand_in
from playground.auth.secret import with_secret
from playground.auth.sessions import Sessions
from playground.auth.users import UsersError, UsersFile, read
from playground.cli.main import main
from playground.domain.errors import Busy, StoreError
from playground.domain.principal import pseudonyms
from playground.limits.rate_limits import LOGIN_TRIES, LoginTries
from playground.settings import load_settings
from tests.servers import ROOT, environment

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
A, B = QUICK.hash("a"), QUICK.hash("b")


# The file


def test_a_file_is_read_line_by_line() -> None:
    listed = read(f"# the team\n\nanna:{A}\n  \nben: {B} \n")
    assert listed.hashes == {"anna": A, "ben": B}
    assert listed.problems == ()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("anna", "no hash"),
        (f"Anna:{A}", "does not begin with a name"),
        (f":{A}", "does not begin with a name"),
        (f"ben:{A}", "stands in a line above"),
        ("anna:plain text", "no hash"),
        ("anna:$argon2id$v=19$m=8", "no hash"),
        (f"anna:{A.replace('argon2id', 'argon2i')}", "not of the kind argon2id"),
    ],
    ids=["no colon", "capital", "no name", "twice", "no hash", "cut off", "other kind"],
)
def test_a_broken_line_is_named_and_harms_no_other(line: str, words: str) -> None:
    listed = read(f"ben:{B}\n{line}\nzoe:{A}\n")
    assert listed.hashes == {"ben": B, "zoe": A}
    [problem] = listed.problems
    assert problem.startswith("line 2: ")
    assert words in problem
    assert "plain text" not in problem


def test_a_change_keeps_all_other_lines(tmp_path: Path) -> None:
    file = UsersFile(tmp_path / "users")
    file.put("anna", A, instead_of=None)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.path.write_text(f"# first\nanna:{A}\n\nbroken\nben:{B}")
    file.path.chmod(0o640)
    file.put("anna", B, instead_of=A)
    file.put("zoe", A, instead_of=None)
    file.put("ben", None, instead_of=B)
    assert file.path.read_text() == f"# first\nanna:{B}\n\nbroken\nzoe:{A}\n"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o640, "who else reads it was decided before"
    assert os.listdir(tmp_path) == ["users"]


def test_it_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file, other = UsersFile(tmp_path / "users"), UsersFile(tmp_path / "users")
    assert file.hashes() == {}
    other.put("anna", A, instead_of=None)
    assert file.hashes() == {"anna": A}
    other.put("anna", B, instead_of=A)
    assert file.hashes() == {"anna": B}
    other.path.write_bytes(b"\xff")
    assert file.hashes() == {}, "what cannot be read lets nobody in"
    with pytest.raises(UsersError, match="cannot be read"):
        file.put("ben", B, instead_of=None)
    other.path.unlink()
    assert file.hashes() == {}


def test_many_changes_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "users"
    with ThreadPoolExecutor(8) as threads:
        puts = [
            threads.submit(UsersFile(path).put, f"user{i}", A, instead_of=None) for i in range(24)
        ]
    for put in puts:
        put.result()
    assert len(UsersFile(path).hashes()) == 24


def test_what_somebody_else_has_changed_is_not_undone(tmp_path: Path) -> None:
    file = UsersFile(tmp_path / "users")
    file.put("anna", A, instead_of=None)
    for before in (B, None):
        with pytest.raises(UsersError, match="changed by somebody else"):
            file.put("anna", B, instead_of=before)
    assert file.hashes() == {"anna": A}


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsersError, match="file/users cannot be written"):
        UsersFile(tmp_path / "file" / "users").put("anna", A, instead_of=None)


# Passwords


class Counted(PasswordHasher):
    """Remembers what it was asked to compare, and how many threads did so at once."""

    def __init__(self, takes_s: float = 0.0) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.work: list[tuple[str, int]] = []
        self.at_once = self.most = 0
        self._takes_s = takes_s
        self._lock = threading.Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:  # noqa: A002
        with self._lock:
            self.work.append((repr(extract_parameters(str(hash))), len(hash)))
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        try:
            time.sleep(self._takes_s)
            return super().verify(hash, password)
        finally:
            with self._lock:
                self.at_once -= 1


async def test_known_and_unknown_names_take_the_same_work() -> None:
    """One comparison each, of the same parameters and lengths."""
    hasher = Counted()
    passwords = Passwords(hasher)
    hashes = {"anna": hasher.hash("right"), "ben": hasher.hash("other")}
    for name, password, right in (
        ("anna", "right", True),
        ("anna", "wrong", False),
        ("eve", "right", False),
        ("", "", False),
    ):
        assert await passwords.match(name, password, hashes) is right
    assert len(hasher.work) == 4
    assert len(set(hasher.work)) == 1
    hasher.work.clear()
    assert not await passwords.match("eve", "right", {})
    assert not await passwords.match("eve", "right", hashes)
    assert hasher.work[0] == hasher.work[1], "nor does it tell whether there is anybody at all"


async def test_unknown_names_differ_where_the_users_do() -> None:
    """Of users with old and new hashes, no kind is a sign of being one."""
    old, new = QUICK.hash("x"), PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash("x")
    hashes = {"old": old, "new": new}
    found = [stand_in(f"name{i}", hashes, QUICK) for i in range(64)]
    costs = [extract_parameters(each).time_cost for each in found]
    assert 16 <= costs.count(1) <= 48
    again = [stand_in(f"name{i}", hashes, QUICK) for i in range(64)]
    assert costs == [extract_parameters(each).time_cost for each in again], "a name stays as it is"
    with pytest.raises(VerifyMismatchError):
        QUICK.verify(found[0], "x")


async def test_a_flood_of_logins_is_hashed_two_at_a_time() -> None:
    hasher = Counted(takes_s=0.01)
    passwords = Passwords(hasher)
    tries = (passwords.match("anna", "wrong", {}) for _ in range(200))
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert hasher.most == 2
    refused = [each for each in done if isinstance(each, Busy)]
    assert len(refused) + done.count(False) == 200
    assert len(hasher.work) == done.count(False) <= 60, "the others were told to come again"
    assert refused[0].retry_after > 0


async def test_the_same_characters_are_the_same_password() -> None:
    passwords = Passwords(QUICK)
    composed, decomposed = "pässword\u00e9", "pa\u0308ssworde\u0301"
    assert await passwords.match("a", decomposed, {"a": passwords.hashed(composed)})
    assert not await passwords.match("a", "password\ud800", {"a": passwords.hashed(composed)})


# Throttling


async def test_an_address_a_name_and_a_known_browser_are_counted_apart() -> None:
    throttle = LoginTries()
    for i in range(LOGIN_TRIES):
        await throttle.count(f"name{i}", "192.0.2.1", None)
    with pytest.raises(Busy) as caught:
        await throttle.count("another", "192.0.2.1", None)
    assert 0 < caught.value.retry_after <= 300
    for _ in range(LOGIN_TRIES):
        await throttle.count("anna", "192.0.2.1", "her laptop")
    with pytest.raises(Busy):
        await throttle.count("anna", "192.0.2.99", "her laptop")
    counted = await throttle.count("anna", "192.0.2.2", None)
    await throttle.take_back(counted)


async def test_a_network_of_ipv6_is_one_address() -> None:
    throttle = LoginTries()
    for i in range(LOGIN_TRIES):
        await throttle.count(f"name{i}", f"2001:db8::{i:x}", None)
    with pytest.raises(Busy):
        await throttle.count("another", "2001:db8::ffff:1", None)
    await throttle.count("another", "2001:db8:0:1::1", None)


async def test_who_gets_in_counts_no_more() -> None:
    """So that twenty colleagues behind one address can log in at nine o'clock."""
    throttle = LoginTries()
    for i in range(3 * LOGIN_TRIES):
        await throttle.take_back(await throttle.count(f"name{i}", "192.0.2.1", None))


async def test_a_name_of_ones_own_gives_no_more_tries_at_others() -> None:
    throttle = LoginTries()
    for i in range(LOGIN_TRIES - 1):
        await throttle.count(f"name{i}", "192.0.2.1", None)
        await throttle.take_back(await throttle.count("anna", "192.0.2.1", None))
    await throttle.count("ben", "192.0.2.1", None)
    with pytest.raises(Busy):
        await throttle.count("anna", "192.0.2.1", None)


async def test_a_login_that_is_not_taken_is_no_try(tmp_path: Path) -> None:
    sessions, passwords = Sessions(SECRET, 3600, Database()), Passwords(Counted(takes_s=0.01))
    login = UserLogin(UsersFile(tmp_path / "users"), sessions, passwords, LoginTries(), str)

    def tries(number: int, address: str) -> list[Awaitable[object]]:
        return [login.enter(f"name{i}", "wrong", address.format(i), "") for i in range(number)]

    flood = [*tries(60, "192.0.2.{}"), *tries(2 * LOGIN_TRIES, "198.51.100.1")]
    last = (await asyncio.gather(*flood, return_exceptions=True))[-2 * LOGIN_TRIES :]
    assert {type(each) for each in last} == {Busy}, "so many are not taken at once"
    with pytest.raises(WrongPassword):
        await login.enter("name", "wrong", "198.51.100.1", "")


async def test_two_logins_at_once_make_one_hash_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users, passwords = UsersFile(tmp_path / "users"), Passwords(QUICK)
    old = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash("the password")
    users.put("anna", old, instead_of=None)
    sessions = Sessions(SECRET, 3600, Database())
    login = UserLogin(users, sessions, passwords, LoginTries(), str)
    entries = await asyncio.gather(
        *(login.enter("anna", "the password", "192.0.2.1", "") for _ in range(2))
    )
    assert users.hashes()["anna"] != old
    for entry in entries:
        assert await sessions.find(entry.session, users.hashes())
    assert not caplog.records


async def test_a_hash_that_stays_old_is_said_without_a_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playground.auth.users._PATIENCE_S", 0.0)
    users = UsersFile(tmp_path / "team")
    old = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash("the password")
    users.put("anna", old, instead_of=None)
    (tmp_path / "team.new").touch()
    sessions, pseudonym = Sessions(SECRET, 3600, Database()), pseudonyms(b"a secret")
    login = UserLogin(users, sessions, Passwords(QUICK), LoginTries(), pseudonym)
    await login.enter("anna", "the password", "192.0.2.1", "")
    assert "keeps its old parameters" in caplog.text
    assert pseudonym("user:anna") in caplog.text
    assert "anna" not in caplog.text.replace(str(tmp_path), "")


# Sessions


class Database:
    """Ended sessions, in a database that may be away or silent."""

    def __init__(self) -> None:
        self.state = "there"
        self.ids: set[str] = set()
        self.asked = 0

    async def _answer(self) -> None:
        self.asked += 1
        if self.state == "away":
            raise StoreError("It is away.")
        if self.state == "silent":
            await asyncio.sleep(60)

    async def end(self, session: str, expires: int) -> None:
        await self._answer()
        self.ids.add(session)

    async def ended(self, session: str) -> bool:
        await self._answer()
        return session in self.ids


SECRET = "a secret of 16 and more"


async def test_a_session_needs_no_database_but_to_be_ended() -> None:
    database = Database()
    sessions = Sessions(SECRET, 3600, database)
    cookie = sessions.begin("anna", A)
    for state in ("silent", "away"):
        database.state = state
        found = await Sessions(SECRET, 3600, database).find(cookie, {"anna": A})
        assert found is not None
        assert found.name == "anna"
    assert found is not None
    await sessions.end(found)
    assert await sessions.find(cookie, {"anna": A}) is None, "here it is over all the same"
    database.state = "there"
    assert await Sessions(SECRET, 3600, database).find(cookie, {"anna": A}) is not None
    await sessions.end(found)
    assert await Sessions(SECRET, 3600, database).find(cookie, {"anna": A}) is None


async def test_a_logout_is_not_undone_by_a_look_that_began_before_it() -> None:
    database = Database()
    sessions = Sessions(SECRET, 3600, database)
    cookie = sessions.begin("anna", A)
    found = await Sessions(SECRET, 3600, database).find(cookie, {"anna": A})
    assert found is not None
    database.asked, database.state = 0, "silent"
    looking = asyncio.create_task(sessions.find(cookie, {"anna": A}))
    while not database.asked:  # noqa: ASYNC110  (the loop turns until it looks)
        await asyncio.sleep(0)
    database.state = "away"
    await sessions.end(found)
    assert await looking is None
    assert await sessions.find(cookie, {"anna": A}) is None


async def test_the_database_is_asked_now_and_then() -> None:
    database = Database()
    sessions = Sessions(SECRET, 3600, database)
    cookie = sessions.begin("anna", A)
    for _ in range(100):
        assert await sessions.find(cookie, {"anna": A})
    assert database.asked == 1


async def test_a_session_holds_while_its_password_and_its_time_do() -> None:
    sessions = Sessions(SECRET, 3600, Database())
    cookie = sessions.begin("anna", A)
    assert await sessions.find(cookie, {"anna": A})
    assert await sessions.find(cookie, {"anna": B}) is None
    assert await sessions.find(cookie, {"ben": A}) is None
    assert (
        await Sessions("another secret of 16", 3600, Database()).find(cookie, {"anna": A}) is None
    )
    assert await Sessions(SECRET, -1, Database()).find(cookie, {"anna": A}) is None
    device = sessions.device("anna")
    assert await sessions.find(device, {"anna": A}) is None, "a known browser is no login"
    assert sessions.device_id(device, "anna")
    assert sessions.device_id(device, "ben") is sessions.device_id(cookie, "anna") is None


# The secret


def test_a_secret_is_drawn_once(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    first = with_secret(settings).sealing_secret()
    assert first is not None
    assert len(first) >= 32
    assert with_secret(settings).sealing_secret() == first
    assert stat.S_IMODE((tmp_path / "data" / "secret").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "data") == ["secret"]
    own = load_settings(data_dir=tmp_path, secret=SECRET)
    assert with_secret(own).sealing_secret() == SECRET
    with ThreadPoolExecutor(8) as threads:
        others = load_settings(data_dir=tmp_path / "others")
        drawn = list(threads.map(lambda _: with_secret(others).sealing_secret(), range(16)))
    assert len(set(drawn)) == 1, "of many processes that start at once, one draws it"


def test_without_a_folder_it_lasts_as_long_as_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    settings = load_settings(data_dir=tmp_path / "file" / "data")
    first, second = (with_secret(settings).sealing_secret() for _ in range(2))
    assert first != second
    assert "PLAYGROUND_SECRET" in caplog.text
    assert str(first) not in caplog.text


# The command line


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAYGROUND_DATA_DIR", str(tmp_path))
    return tmp_path / "users"


def users(monkeypatch: pytest.MonkeyPatch, *arguments: str, said: str = "") -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    return main(["users", *arguments])


def test_somebody_is_added_from_the_command_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "playground", "users", "add", "Anna", "--password-stdin"],
        cwd=ROOT,
        env={**environment(), "PLAYGROUND_DATA_DIR": str(tmp_path)},
        input="correct horse\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "anna can log in.\n"), done.stderr
    stored = UsersFile(tmp_path / "users").hashes()["anna"]
    assert PasswordHasher().verify(stored, "correct horse")
    assert not PasswordHasher().check_needs_rehash(stored)


def test_the_command_line(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data.write_text(f"anna:{A}\nnonsense\n")
    assert users(monkeypatch, "list") == 1
    written = capsys.readouterr()
    assert written.out == "anna\n"
    assert "users, line 2: " in written.err
    assert users(monkeypatch, "passwd", "anna", "--password-stdin", said="battery staple") == 0
    assert PasswordHasher().verify(UsersFile(data).hashes()["anna"], "battery staple")
    assert users(monkeypatch, "remove", "ANNA") == 0
    assert data.read_text() == "nonsense\n"


def test_a_password_is_asked_for_twice(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["correct horse", "correct house", "correct horse", "correct horse"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(said))
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert main(["users", "add", "anna"]) == 2
    assert not data.exists()
    assert main(["users", "add", "anna"]) == 0
    assert PasswordHasher().verify(UsersFile(data).hashes()["anna"], "correct horse")


@pytest.mark.parametrize(
    ("arguments", "said", "words"),
    [
        (["add", "zoe", "--password-stdin"], "too short", "10 to 1,024 characters"),
        (["add", "zoe b", "--password-stdin"], "long enough", "cannot be a name"),
        (["add", "anna", "--password-stdin"], "long enough", "passwd anna"),
        (["add", "zoe"], "", "--password-stdin"),
        (["passwd", "ben", "--password-stdin"], "long enough", "There is no ben"),
        (["remove", "ben"], "", "There is no ben"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
    words: str,
) -> None:
    data.write_text(f"anna:{A}\n")
    assert users(monkeypatch, *arguments, said=said) == 2
    assert words in capsys.readouterr().err
    assert data.read_text() == f"anna:{A}\n"


async def test_what_is_no_session_is_not_remembered_at_any_length() -> None:
    """Whoever asks chooses the cookie, and needs no login for that."""
    sessions = Sessions(SECRET, 3600, Database())
    assert await sessions.find(sessions.begin("a" * 64, A), {"a" * 64: A}), "the longest name"
    tracemalloc.start()
    try:
        for number in range(100):
            assert await sessions.find(f"{number}".ljust(100_000, "x"), {"anna": A}) is None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_the_data_folder_is_its_owners_alone_whoever_makes_it(tmp_path: Path) -> None:
    with_secret(load_settings(data_dir=tmp_path / "first", secret=None))
    UsersFile(tmp_path / "second" / "users").put("anna", A, instead_of=None)
    for name in ("first", "second"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
