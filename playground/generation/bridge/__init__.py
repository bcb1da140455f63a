"""Makes parameters take effect that an engine lacks, by accepting and correcting its own tokens."""
