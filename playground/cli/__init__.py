"""The command line: serve, demo, check, users and share."""
