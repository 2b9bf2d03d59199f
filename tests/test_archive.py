"""Laws of folders and archives: what lies inside is read as it is, and nothing leads outside."""

import os
import stat
import struct
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datamodules.archive import ZipSource
from datamodules.open_image import BadImageError
from datamodules.sources import FolderSource, Source

LIMIT = 2**20
CONTENT = bytes(range(256)) * 8


def contents(source: Source) -> dict[str, bytes]:
    return {entry.name: source.read(i, LIMIT) for i, entry in enumerate(source.entries)}


def reasons(source: Source) -> dict[str, str]:
    return dict(source.refused)


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_as_they_were_written_in_the_order_of_names(tmp_path, method):
    members = {"b/2.png": CONTENT, "a/1.png": b"", "b/10.png": CONTENT[::-1]}
    source = ZipSource(archive(tmp_path / "a.zip", members, method))
    assert contents(source) == members
    assert [entry.name for entry in source.entries] == sorted(members)
    assert source.refused == []


def test_an_archive_behind_other_bytes_is_read(tmp_path):
    path = archive(tmp_path / "a.zip", {"1.png": CONTENT})
    path.write_bytes(b"#!/bin/sh\nexit 1\n" + path.read_bytes())
    assert contents(ZipSource(path)) == {"1.png": CONTENT}


def test_a_name_may_begin_with_the_folder_it_was_packed_in(tmp_path):
    source = ZipSource(archive(tmp_path / "a.zip", {"./a/1.png": CONTENT, "b/./2.png": b"x", "./.hidden": b"y"}))
    assert contents(source) == {"a/1.png": CONTENT, "b/2.png": b"x"}
    assert source.refused == []


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "a/../../x.png", "C:\\x.png", "..\\x.png", "\\x.png"])
def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path, name):
    source = ZipSource(archive(tmp_path / "a.zip", {name: b"x", "1.png": b"y"}))
    assert contents(source) == {"1.png": b"y"}
    assert reasons(source) == {name: "a name that leads out of the archive"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


def test_links_other_methods_and_repeated_names_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "../../secret")
        file.writestr("squeezed.png", CONTENT, compress_type=zipfile.ZIP_BZIP2)
        file.writestr("twice.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("twice.png", b"2")
    source = ZipSource(tmp_path / "a.zip")
    assert contents(source) == {"twice.png": b"1"}
    assert {name: reason.split(",")[0] for name, reason in source.refused} == {
        "link.png": "a link",
        "squeezed.png": "packed by another method than deflate",
        "twice.png": "appears twice",
    }


def test_an_encrypted_member_is_refused(tmp_path):
    path = archive(tmp_path / "a.zip", {"1.png": CONTENT})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the directory's flags (APPNOTE 4.3.12)
    path.write_bytes(content)
    assert reasons(ZipSource(path)) == {"1.png": "encrypted"}


def test_a_flipped_byte_is_found_by_the_checksum(tmp_path):
    path = archive(tmp_path / "a.zip", {"1.png": CONTENT}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.index(CONTENT) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadImageError, match="checksum"):
        ZipSource(path).read(0, LIMIT)


def test_a_member_that_lies_about_its_size_is_not_unpacked_further(tmp_path):
    path = archive(tmp_path / "a.zip", {"1.png": bytes(2**26)})
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 1000)  # uncompressed size
    path.write_bytes(content)
    source = ZipSource(path)
    tracemalloc.start()
    with pytest.raises(BadImageError, match="checksum"):
        source.read(0, LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 2**20  # packed it has 64 KiB
    tracemalloc.stop()
    with pytest.raises(BadImageError, match="1,000 bytes, 999 are the most"):
        source.read(0, 999)


def test_a_member_that_lies_about_its_packed_size_is_not_read_further(tmp_path):
    path = archive(tmp_path / "a.zip", {"1.png": b"x", "2.png": os.urandom(2**24)}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 20, 2**24)  # compressed size
    path.write_bytes(content)
    source = ZipSource(path)
    tracemalloc.start()
    assert source.read(0, LIMIT) == b"x"  # deflate says itself where it ends
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PK" + b[2:-40]])
def test_a_cut_archive_is_named_in_one_sentence(tmp_path, damage):
    path = archive(tmp_path / "a.zip", {"1.png": CONTENT})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"a\.zip is not a whole zip archive .* again\.$"):
        ZipSource(path)


def test_a_folder_gives_its_files_by_name_and_hides_what_systems_leave_behind(tmp_path):
    names = ("b/2.png", "a/1.png", "b/c/3.png", ".DS_Store", "__MACOSX/a/1.png", "b/Thumbs.db", ".git/x.png")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert contents(FolderSource(tmp_path)) == {name: name.encode() for name in sorted(names[:3])}
    packed = archive(tmp_path / "a.zip", {name: name.encode() for name in names})
    assert contents(ZipSource(packed)) == {name: name.encode() for name in sorted(names[:3])}


def test_links_are_followed_inside_a_folder_only(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        (folder / "sub").mkdir(parents=True)
        (folder / "1.png").write_bytes(folder.name.encode())
    (inside / "same.png").symlink_to(inside / "1.png")
    (inside / "secret.png").symlink_to("../out/1.png")
    (inside / "folder").symlink_to(outside, target_is_directory=True)
    (inside / "loop").symlink_to(inside, target_is_directory=True)
    (inside / "nothing.png").symlink_to("absent.png")
    os.mkfifo(inside / "pipe.png")
    source = FolderSource(inside)
    assert contents(source) == {"1.png": b"in", "same.png": b"in"}
    assert reasons(source) == {
        "secret.png": "a link that leads out of the folder",
        "folder": "a link that leads out of the folder",
        "loop": "a link to a folder, which is not followed",
        "nothing.png": "a link to nothing",
        "pipe.png": "neither a file nor a folder",
    }


def test_a_folder_may_itself_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "1.png").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    assert contents(FolderSource(tmp_path / "link")) == {"1.png": b"x"}


def test_a_file_that_changed_or_went_away_is_named(tmp_path):
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(b"x")
    source = FolderSource(tmp_path)
    (tmp_path / "1.png").write_bytes(b"xyz")
    (tmp_path / "2.png").unlink()
    with pytest.raises(BadImageError, match="changed"):
        source.read(0, LIMIT)
    with pytest.raises(BadImageError, match="No such file"):
        source.read(1, LIMIT)


def test_one_source_may_be_read_by_many_threads(tmp_path):
    members = {f"{i:03d}.png": os.urandom(3000) for i in range(50)}
    source = ZipSource(archive(tmp_path / "a.zip", members))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: source.read(i % 50, LIMIT), range(400)))
    assert found == list(members.values()) * 8
