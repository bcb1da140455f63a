"""The tables, as SQLAlchemy's Core knows them. A change here needs a migration beside it.

Times are whole seconds since 1970 in UTC. A link's `id` is the SHA-256 of its token in hexadecimal
digits: what is looked up, so that how long a search takes says nothing about a token. The token
itself is kept, too, since its owner wants to see the link again; whoever reads the table already
has what the link shows.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

# The migration that makes the tables as they stand here; playground/store/migrations/versions.
REVISION: Final = "0002"

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# A snapshot. record: JSON, byte for byte as it was checked and is given out again, hence no JSONB.
shares: Final = Table(
    "shares",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("token", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("record", Text, nullable=False),
    Column("private", Boolean, nullable=False),
    Column("views", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Index(None, "owner"),
    Index(None, "expires"),
)

# A demo link. document: JSON. spent_tokens counts what running answers have reserved, too.
demos: Final = Table(
    "demos",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("token", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("budget_tokens", BigInteger, nullable=False),
    Column("spent_tokens", BigInteger, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Index(None, "owner"),
    Index(None, "expires"),
)

# What the running answers of a demo may take, a row for each request. demo: the link's id. at:
# since when. demos.py says what becomes of a row that a killed process has left behind.
reservations: Final = Table(
    "reservations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("demo", String(64), nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "demo"),
)

# Logins that were ended before their time. id: the SHA-256 of the session's.
ended_sessions: Final = Table(
    "ended_sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("expires", BigInteger, nullable=False),
    Index(None, "expires"),
)

# Tokens written for an account on a day in UTC.
usage: Final = Table(
    "usage",
    metadata,
    Column("account", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Index(None, "day"),
)
