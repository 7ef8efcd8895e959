"""Why something failed, in the words of the system, without numbers and quotes of Python."""

from __future__ import annotations


def reason_of(error: BaseException) -> str:
    """Return what an error says on one line, without ``[Errno 2]``, the file's name and its quotes.

    >>> reason_of(FileNotFoundError(2, "No such file or directory", "obs.npy"))
    'no such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    if isinstance(error, KeyError) and error.args:
        return f"there is no {error.args[0]}"
    return " ".join(str(error).split()) or type(error).__name__
