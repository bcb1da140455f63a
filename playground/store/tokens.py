"""The tokens of links: who has one may read what is behind it, so nobody can guess one."""

import secrets


def new_token() -> str:
    """128 random bits as 22 characters of an address."""
    return secrets.token_urlsafe(16)
