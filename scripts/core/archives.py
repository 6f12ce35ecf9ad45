"""A folder of code as a zip with the same bytes wherever and whenever it is made.

Names are sorted, times are fixed, and nothing is compressed (what a compressor writes depends on its version): equal files give an
equal archive, and its key carries the hash of its bytes, so a template names exactly the code that it was packaged with.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from scripts.core.errors import WrongUse

# Lambda takes 50 MB by direct upload and 250 MB unpacked from S3; a folder of ours that is this big has something in it by mistake.
_MOST_BYTES = 50_000_000
_LEFT_OUT = frozenset({"__pycache__", "tests"})
# The oldest time that a zip can hold.
_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


@dataclass(frozen=True)
class Archive:
    """A zip in memory; `key` is `code/<sha256 of its bytes>/<folder>.zip`."""

    key: str
    body: bytes


def of_folder(folder: Path, where: str) -> Archive:
    """The folder's files at the top level of a zip; tests, caches and hidden files are left out.

    WrongUse, naming `where` the folder is asked for, when it is missing, has no files or is too big.
    """
    if not folder.is_dir():
        raise WrongUse(where, "there is no such folder", f"it is looked for at {folder}")
    files = sorted((path for path in folder.rglob("*") if path.is_file() and _belongs(path.relative_to(folder))), key=lambda p: p.as_posix())
    if not files:
        raise WrongUse(where, "the folder has no files", f"put the code into {folder}")
    size = sum(path.stat().st_size for path in files)
    if size > _MOST_BYTES:
        raise WrongUse(where, f"the folder has {size} bytes, and at most {_MOST_BYTES} are packaged", f"remove what is not code from {folder}")
    body = _zip(folder, files)
    return Archive(f"code/{hashlib.sha256(body).hexdigest()}/{folder.name}.zip", body)


def _belongs(relative: Path) -> bool:
    return not any(part in _LEFT_OUT or part.startswith(".") for part in relative.parts) and relative.suffix != ".pyc"


def _zip(folder: Path, files: list[Path]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _TIME)
            # Read by another user where it runs: everybody may read, whatever the umask here; only the executable bit is the file's own.
            entry.create_system, entry.external_attr = _UNIX, (0o755 if path.stat().st_mode & 0o100 else 0o644) << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()
