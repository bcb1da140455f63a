"""Who may ask, when and how much: admission and its queue, tokens of a day, rate limits."""
