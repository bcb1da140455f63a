"""What the server says of itself: log lines, metrics, and what each answer used."""
