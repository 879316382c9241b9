"""Text files whose last line is the SHA-256 of all before it, so that one changed digit is seen when they are read.

    {"version": ...,                 JSON: a last key, which other readers of the file ignore
    "file_sha256": "8f14e45fceea167a..."}

    train: ...                       YAML: a last comment
    # file_sha256: 8f14e45fceea167a...
"""

from __future__ import annotations

import os
import re

from wtal_fast.errors import InputError

_LAST_LINE = re.compile(rb'(?:,\n"file_sha256": "([^"\n]*)"}|\n# file_sha256: (.*))\n?\Z')
_LONGEST = 100  # bytes of a last line and what is before it


def sealed_json(text: str) -> str:
    """`text`, a JSON object with at least one key, with its seal."""
    body = text.rstrip().removesuffix("}").rstrip()
    return f'{body},\n"file_sha256": "{_digest(body.encode())}"}}\n'


def sealed_yaml(text: str) -> str:
    """`text`, a YAML document, with its seal."""
    body = text.rstrip("\n")
    return f"{body}\n# file_sha256: {_digest(body.encode())}\n"


def check_seal(content: bytes | bytearray, source: str | os.PathLike, needed: bool = False) -> bool:
    """Whether `content`, the bytes of a whole file, carries a seal. InputError where the seal is another file's, and
    where it is `needed` and not there."""
    found = _LAST_LINE.search(content[-_LONGEST:])
    if found is None:
        if needed:
            raise InputError(source, "last line", expected="the SHA-256 with which wtal_fast ends this file",
                             found="none", fix="the file is cut or damaged: restore it")
        return False
    body = memoryview(content)[: len(content) - len(found[0])]
    if (found[1] if found[1] is not None else found[2]) != _digest(body).encode():
        raise InputError(source, "file_sha256", expected="the text that was saved", found="another SHA-256",
                         fix="the file is damaged: restore it; if you changed it yourself, take out the "
                         "file_sha256 at its end")
    return True


def _digest(body: bytes | memoryview) -> str:
    import hashlib  # costs milliseconds, and most files have no seal

    return hashlib.sha256(body).hexdigest()
