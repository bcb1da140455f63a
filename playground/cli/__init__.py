"""The command line: serve, demo, check, users, share, backup and restore."""
