"""A zip archive of images, read member by member without unpacking it.

Only the directory at its end is read through ``zipfile``. A member is then fetched by its position with one file
handle of its own: worker processes that were forked share no offset, and 60,000 of them need not parse the directory
again. Nothing is ever written, so that no name can lead anywhere; those that try (absolute, ``..``, links) are
refused by name all the same.
"""

import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from datamodules.open_image import BadImageError
from datamodules.sources import HIDDEN, Entry, Fault, Source

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field (APPNOTE 4.3.7)
_ENCRYPTED = 0x1
_DEFLATED_AT_MOST = 1024  # bytes beside twice the content: none that was deflated honestly grew so much


class ZipSource(Source):
    """The members of a zip archive, stored or deflated.

    Raises:
        ValueError: not a zip archive, or a damaged one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._places: list[tuple[int, int, int]] = []  # offset, packed bytes, method
        names: set[str] = set()
        for member in sorted(_directory(path), key=lambda member: member.filename):
            parts = [part for part in re.split(r"[/\\]", member.filename) if part != "."]
            if member.is_dir() or not parts or any(part.startswith(HIDDEN) and part != ".." for part in parts if part):
                continue
            reason = "appears twice" if "/".join(parts) in names else _why_not(member, parts)
            if reason is not None:
                self.refused.append(Fault(member.filename, reason))
                continue
            names.add("/".join(parts))
            self.entries.append(Entry("/".join(parts), member.file_size, member.CRC))
            self._places.append((member.header_offset, member.compress_size, member.compress_type))

    def fetch(self, index: int) -> bytes:
        """The member's bytes, compared with its checksum; never more than the directory says."""
        entry, (offset, packed, method) = self.entries[index], self._places[index]
        with open(self.path, "rb", buffering=0) as file:
            file.seek(offset)
            head = file.read(_LOCAL_HEADER.size)
            if len(head) < _LOCAL_HEADER.size or head[:4] != b"PK\x03\x04":
                raise BadImageError("damaged: the archive's directory does not lead to it")
            file.seek(sum(_LOCAL_HEADER.unpack(head)[1:]), 1)
            content = file.read(min(packed, 2 * entry.size + _DEFLATED_AT_MOST))
        if method == zipfile.ZIP_DEFLATED:
            content = _inflate(content, entry.size)
        if len(content) != entry.size or zlib.crc32(content) != entry.stamp:
            raise BadImageError("damaged: not the bytes that the archive's checksum is of")
        return content


def _directory(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a whole zip archive ({error}): fetch or pack it again.") from error


def _why_not(member: zipfile.ZipInfo, parts: list[str]) -> str | None:
    if ".." in parts or parts[0] == "" or ":" in parts[0]:
        return "a name that leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link, which is not followed"
    if member.flag_bits & _ENCRYPTED:
        return "encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed by another method than deflate"
    return None


def _inflate(packed: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)  # one more shows a lie in the directory
    except zlib.error as error:
        raise BadImageError(f"damaged: {error}") from error
