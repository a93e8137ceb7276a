"""What can go wrong, by what a caller can do about it.

Every message is one line: what was asked, what there is, what to do.
"""


class AnyBindError(Exception):
    """Anything that anybind reports; the command line prints it and exits with 1."""


class UsageError(AnyBindError):
    """The request itself is wrong (an option, a name, a shape); the command line exits with 2."""


class MediaError(AnyBindError):
    """One item cannot be read: missing, truncated, too large, or not what it claims to be."""


class WeightsError(AnyBindError):
    """A weight file does not fit the network it is meant for."""


class DownloadError(AnyBindError):
    """A file could not be fetched, or what arrived is not what was announced."""


class IndexFolderError(AnyBindError):
    """An index folder is missing, unfinished, damaged, or made by another encoder."""


class Overloaded(AnyBindError):
    """There is more to do than can wait; nothing was begun, and it may be asked again."""

    def __init__(self, message: str, *, retry_after: float = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds to wait first


class WriteError(AnyBindError):
    """A file cannot be written: a full disk, no permission. What was complete is kept."""
