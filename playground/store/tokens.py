"""The tokens of links: who has one may read what is behind it, so nobody can guess one."""

import hashlib
import secrets


def new_token() -> str:
    """128 random bits as 22 characters of an address."""
    return secrets.token_urlsafe(16)


def digest(token: str) -> str:
    """By which a link is looked up: SHA-256, in hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
