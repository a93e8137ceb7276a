"""Attacks on the pictures that items were indexed from: the one place where the server opens files
that an index names. An index folder that was got from elsewhere may name any."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from anybind.index.originals import read_original

from ..pictures import picture, sha256, write_tar
from ..serving import serving

OUTSIDE: dict[str, Callable[[Path, Path], str]] = {
    "dots": lambda root, secret: f"../{secret.name}",
    "dots in the middle": lambda root, secret: f"sub/../../{secret.name}",
    "absolute": lambda root, secret: str(secret),
    "link to a file": lambda root, secret: linked(root / "l.png", secret),
    "link to a folder": lambda root, secret: f"{linked(root / 'd', secret.parent)}/{secret.name}",
    "link to a link": lambda root, secret: linked(root / "m", linked_path(root / "k", secret)),
    "a name that begins like the root": lambda root, secret: f"../{root.name}-2/a.png",
}


def linked(place: Path, target: Path) -> str:
    place.symlink_to(target)
    return place.name


def linked_path(place: Path, target: Path) -> Path:
    place.symlink_to(target)
    return place


@pytest.mark.parametrize("way", OUTSIDE)
@pytest.mark.parametrize("archive", [False, True])
def test_nothing_outside_the_root_is_read(tmp_path: Path, way: str, archive: bool) -> None:
    """Although it is a picture whose hash is right: a forged folder may name any file."""
    content = picture()
    root, other = tmp_path / "root", tmp_path / "root-2"
    for folder in (root, other, root / "sub"):
        folder.mkdir()
    secret = tmp_path / ("secret.tar" if archive else "secret.png")
    for path in (secret, other / "a.png"):
        if archive:
            write_tar(path, {"a.png": content})
        else:
            path.write_bytes(content)
    name = OUTSIDE[way](root, secret) + ("#a.png" if archive else "")
    assert read_original(root, name, sha256(content)) is None


@pytest.mark.parametrize("name", ["", ".", "sub", "pipe", "a\0b", "x" * 5000, "\udc80"])
def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path, name: str) -> None:
    """A pipe would never end."""
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert read_original(tmp_path, name, sha256(b"")) is None


@pytest.mark.parametrize("way", ["../secret.png", "{secret}", "link.png"])
def test_a_forged_index_gives_out_the_picture_that_it_keeps(
    world_index: Path, tmp_path: Path, way: str
) -> None:
    """Over HTTP, with every hash right. The control is the same picture inside the root."""
    folder, root, secret = tmp_path / "index", tmp_path / "root", tmp_path / "secret.png"
    shutil.copytree(world_index, folder, symlinks=True)
    root.mkdir()
    secret.write_bytes(picture())
    (root / "link.png").symlink_to(secret)
    shutil.copy(secret, root / "open.png")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["source"]["root"] = str(root)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as catalog, catalog:
        for item, path in ((0, way.format(secret=secret)), (1, "open.png")):
            catalog.execute(
                "UPDATE items SET image_path = ?, sha256 = ? WHERE id = ?",
                (path, sha256(secret.read_bytes()), item),
            )
    with serving({"world": folder}) as running, running.client() as client:
        forged = client.get("/v1/items/0/image").raise_for_status()
        kept = client.get("/v1/items/0/image", params={"size": 256}).raise_for_status()
        assert forged.content == kept.content and forged.headers["content-type"] == "image/webp"
        control = client.get("/v1/items/1/image").raise_for_status()
        assert control.content == secret.read_bytes()
        assert control.headers["content-type"] == "image/png"
        assert control.headers["x-content-type-options"] == "nosniff"
        policy = control.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "sandbox"} < set(policy)
