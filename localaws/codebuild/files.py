"""Zip and tar archives, in memory: what comes as one and is wanted as the other. Pure."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile


def tar_of_zip(data: bytes) -> bytes:
    """The same files as a tar archive, with their modes; zipfile.BadZipFile if it is no zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, tarfile.open(fileobj=out, mode="w") as target:
        for entry in source.infolist():
            mode = entry.external_attr >> 16
            info = tarfile.TarInfo(entry.filename.rstrip("/"))
            body = source.read(entry)
            info.mode = stat.S_IMODE(mode) or (0o755 if entry.is_dir() else 0o644)
            if entry.is_dir():
                info.type = tarfile.DIRTYPE
                target.addfile(info)
            elif stat.S_ISLNK(mode):
                info.type, info.linkname = tarfile.SYMTYPE, body.decode()
                target.addfile(info)
            else:
                info.size = len(body)
                target.addfile(info, io.BytesIO(body))
    return out.getvalue()


def files_of_tar(data: bytes) -> dict[str, tuple[bytes, int]]:
    """(content, mode) of every regular file, by name below the archive's first folder."""
    found: dict[str, tuple[bytes, int]] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as source:
        for entry in source:
            name = entry.name.removeprefix("./")
            if entry.isreg() and "/" in name:
                content = source.extractfile(entry)
                assert content is not None  # a regular file has one
                found[name.split("/", 1)[1]] = (content.read(), entry.mode)
    return found


def zip_of(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A zip of these files (content, mode), the same bytes for the same files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, (content, mode) in sorted(files.items()):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | stat.S_IMODE(mode)) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(info, content)
    return out.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    """A tar archive of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as target:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            target.addfile(info, io.BytesIO(content))
    return out.getvalue()
