"""Tests by package, with real servers and a real browser; the modules here are what they share."""
