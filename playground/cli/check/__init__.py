"""What `playground check` looks at, and what it says of each fault."""
