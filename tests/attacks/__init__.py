"""What fell once, attacked again: a real playground over loopback, and what must hold meanwhile."""
