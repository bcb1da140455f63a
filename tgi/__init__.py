"""What speaks or serves TGI's HTTP API; it knows nothing of the playground."""
