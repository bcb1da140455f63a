"""`playground users`: who may log in."""

import argparse
import getpass
import sys
from collections.abc import Mapping

from playground.auth.passwords import LONGEST, SHORTEST, Passwords
from playground.auth.users import NAME_RULE, UsersError, proper, users_file
from playground.settings import Settings


def change_users(options: argparse.Namespace, settings: Settings) -> int:
    """Do what the command line asks for.

    Returns:
        The exit status.

    Raises:
        UsersError: The file cannot be read or changed as it was asked for.
    """
    file = users_file(settings)
    listed = file.listed()
    for problem in listed.problems:
        print(f"playground: {file.path}, {problem}", file=sys.stderr)
    if options.does == "list":
        print("".join(f"{name}\n" for name in sorted(listed.hashes)), end="")
        return 1 if listed.problems else 0
    name = proper(options.name)
    if name is None:
        raise UsersError(f"{options.name!r} cannot be a name: {NAME_RULE}.")
    stored = listed.hashes.get(name)
    if options.does == "remove":
        _there(name, listed.hashes)
        file.put(name, None, instead_of=stored)
        print(f"{name} can no longer log in.")
        return 0
    if options.does == "passwd":
        _there(name, listed.hashes)
    elif stored is not None:
        raise UsersError(f"{name} is there already: `playground users passwd {name}` changes it.")
    password = _password(name, from_stdin=options.password_stdin)
    file.put(name, Passwords().hashed(password), instead_of=stored)
    print(f"{name} can log in." if stored is None else f"{name} has a new password.")
    return 0


def _there(name: str, hashes: Mapping[str, str]) -> None:
    if name not in hashes:
        raise UsersError(f"There is no {name}: `playground users list` names everybody.")


def _password(name: str, *, from_stdin: bool) -> str:
    """A password that may be used. Raises UsersError."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise UsersError("There is no terminal to ask for the password: use --password-stdin.")
    else:
        password = getpass.getpass(f"Password for {name}: ")
        if getpass.getpass("Once more: ") != password:
            raise UsersError("The two are not the same; nothing was changed.")
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsersError(f"A password has {SHORTEST} to {LONGEST:,} characters; no rule but that.")
    return password
