"""What goes wrong with the demo's model and its engine."""

from playground.domain.errors import PlaygroundError


class ModelError(PlaygroundError):
    """A model cannot be had or run; the text says why, and what to do."""

    kind = "model"


class DownloadBroken(PlaygroundError):
    """A download broke off; what has arrived is kept, and it can go on from there."""

    kind = "download"
    retryable = True
