"""The project's errors, one tree; each knows the exit code of the command that it ends.

    PcakdError
    ├── UsageError        2   an option, a field or a file that the user can mend
    │   ├── PhotoError    2   a photo that cannot be read (many photos: skipped, exit code 3)
    │   ├── CheckpointError 2 a model file that is not one, or not whole
    │   ├── ArchivedError 2   an object that lies in an archive and has to be restored first
    │   ├── NotFoundError 2   an object, a bucket or a folder that is not there
    │   └── AccessError   2   a storage that refuses the credentials, or the permission
    ├── TransientError    4   gave up on something that may pass; the same command again may help
    └── FatalError        5   cannot go on, and a retry will not help

A command that was interrupted ends with 130, one whose work is finished with some objects failed with 3; any error
that is not of this tree with 5. There is no other exit code.

A message is one line: what is wrong, where, and what to do. `PhotoError.reason` is a short stable
word ("truncated", "empty", ...), fit for a status column.
"""

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_TRANSIENT = 4
EXIT_FATAL = 5
EXIT_INTERRUPTED = 130


class PcakdError(Exception):
    """Base of all errors that the project raises on purpose."""

    exit_code = EXIT_FATAL


class UsageError(PcakdError):
    """Something that the user wrote or named: an option, a field, a file."""

    exit_code = EXIT_USAGE


class PhotoError(UsageError):
    """A photo that cannot be read.

    `reason` is one of "missing", "empty", "not-an-image", "truncated", "too-large", "unsupported".
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self):  # keeps `reason` when the error crosses a process boundary
        return (_rebuild_photo_error, (str(self), self.reason))


def _rebuild_photo_error(message: str, reason: str) -> PhotoError:
    return PhotoError(message, reason=reason)


class CheckpointError(UsageError):
    """A checkpoint or statistics file that is missing, damaged, or of another kind or version."""


class ArchivedError(UsageError):
    """An object that lies in an archive storage class: it can be listed, and not be read before it is restored."""


class NotFoundError(UsageError):
    """An object, a bucket or a folder that is not there."""


class AccessError(UsageError):
    """A storage refuses the credentials, or they do not allow this.

    `credentials` is True when they were refused altogether: no other object will fare better.
    """

    def __init__(self, message: str, *, credentials: bool = False) -> None:
        super().__init__(message)
        self.credentials = credentials

    def __reduce__(self):  # keeps `credentials` when the error crosses a process boundary
        return (_rebuild_access_error, (str(self), self.credentials))


def _rebuild_access_error(message: str, credentials: bool) -> AccessError:
    return AccessError(message, credentials=credentials)


class TransientError(PcakdError):
    """Gave up after retries on something that may pass: storage, network, a tracking server."""

    exit_code = EXIT_TRANSIENT


class FatalError(PcakdError):
    """Cannot go on, and the same command again will end the same way."""

    exit_code = EXIT_FATAL
