"""Turning what a user names (paths, folders, globs, braces) into files in a fixed order.

``{00000..00004}`` and ``{train,val}`` are understood here because a shell leaves quoted braces
alone, and unquoted ones give the same files.
"""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import UsageError

MAX_EXPANSION = 1_000_000  # names one pattern may stand for
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The files that some inputs name."""

    root: str  # the deepest folder above all of them, absolute
    files: dict[str, int]  # path from the root -> bytes, in the order to read them
    unreadable: dict[str, str]  # folder from the root -> why it could not be listed

    def absolute(self, name: str) -> str:
        """The path of one of the files."""
        return os.path.join(self.root, name)


def find_files(inputs: Sequence[str], suffixes: frozenset[str], *, what: str) -> Found:
    """Every file that the inputs name; a folder stands for the files in it with these suffixes.

    Args:
        inputs: Paths, globs and braces.
        suffixes: Lower case, without the dot. A file that is named itself may have any.
        what: What is looked for, for messages.

    Raises:
        UsageError: An input does not exist, matches nothing, is a URL, or there are no inputs.
    """
    if not inputs:
        raise UsageError(f"no input was given; name {what} with --input")
    files: list[str] = []
    anchors: list[str] = []
    unreadable: dict[str, str] = {}
    for name in _names(inputs):
        path = os.path.abspath(name)
        if os.path.isdir(path):
            anchors.append(path)
            files += _walk(path, suffixes, unreadable)
        else:
            anchors.append(os.path.dirname(path))
            files.append(path)
    root = os.path.commonpath(anchors)
    if not files and not unreadable:
        raise UsageError(f"no {what} in {', '.join(inputs)}")
    return Found(
        root=root,
        files={os.path.relpath(path, root): _size(path) for path in files},
        unreadable={os.path.relpath(path, root): why for path, why in unreadable.items()},
    )


def expand_braces(text: str) -> list[str]:
    """``a{1..3}.{x,y}`` as six names, in the order a shell gives; other braces stay as they are."""
    for match in _BRACES.finditer(text):
        inside = match[1]
        if numbers := _RANGE.fullmatch(inside):
            first, last = int(numbers[1]), int(numbers[2])
            if abs(last - first) >= MAX_EXPANSION:
                raise UsageError(f"{text} stands for more than {MAX_EXPANSION:,} names")
            padded = any(number[0] == "0" for number in numbers.groups())
            width = max(map(len, numbers.groups())) if padded else 0
            step = 1 if last >= first else -1
            parts = [f"{number:0{width}d}" for number in range(first, last + step, step)]
        elif "," in inside:
            parts = inside.split(",")
        else:
            continue
        head, tail = text[: match.start()], text[match.end() :]
        return [name for part in parts for name in expand_braces(head + part + tail)]
    return [text]


def _names(inputs: Sequence[str]) -> list[str]:
    """The existing paths that the inputs stand for, each once."""
    names: list[str] = []
    missing: list[str] = []
    for text in inputs:
        if "://" in text:
            raise UsageError(f"{text} is a URL; download it and give the path of the file")
        for name in [text] if os.path.exists(text) else expand_braces(text):
            if os.path.exists(name):
                names.append(name)
            elif glob.has_magic(name):
                matches = sorted(glob.glob(name, recursive=True))
                names += matches
                missing += [] if matches else [name]
            else:
                missing.append(name)
    if missing:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UsageError(f"there is no {missing[0]}{others}; check the path or the pattern")
    return list(dict.fromkeys(names))


def _walk(folder: str, suffixes: frozenset[str], unreadable: dict[str, str]) -> list[str]:
    """The files below a folder, hidden ones left out, sorted by path."""

    def note(error: OSError) -> None:
        unreadable[str(error.filename)] = error.strerror or str(error)

    found = []
    for place, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and suffix_of(name) in suffixes:
                found.append(os.path.join(place, name))
    return sorted(found)


def suffix_of(name: str) -> str:
    """What follows the last dot of a file name, in lower case."""
    return os.path.splitext(name)[1][1:].lower()


def _size(path: str) -> int:
    """Bytes of a file; 0 when it cannot be asked, which reading it will then tell."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
