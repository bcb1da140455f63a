"""The HTTP routes, and the log line of every request."""
