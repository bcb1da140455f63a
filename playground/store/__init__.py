"""What is kept in the database, SQLite or PostgreSQL, and its migrations."""
