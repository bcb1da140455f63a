"""One request becomes one stream of events: answers, comparisons, batching and Markdown."""
