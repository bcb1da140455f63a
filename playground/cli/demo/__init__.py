"""`playground demo`: the page and llama.cpp beside it, in a process of its own."""
