"""What is shared as values: set-up links, records of conversations, and demos with a budget."""
