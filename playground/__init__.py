"""A browser playground for one open-weights model: the page, its HTTP API and its command line."""
