"""What is in an image and whose it is: roots made by hand, stripped by the real step."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.project import Image
from quern.questions.measured import NOBODY, File, Volume, measure, spelt
from quern.steps import receipt as receipts
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from quern.steps.receipt import Place, Receipt
from tests.projects import image_of, run, write

NEWLINE, NO_UTF8, MARKUP = b"two\nlines", b"caf\xe9", b"<img src=x onerror=alert(1)> & '\"</script>"
CONF = "[build]\nprofile = a:b\n[strip]\ndoc = off\ndev = off\npaths = /usr/share/*, /var/db/pkg, /nothing/here\n"


def contents(root: Path, cpv: str, lines: bytes) -> None:
    """Have a package own what `lines` of a CONTENTS say."""
    folder = root / "var/db/pkg" / cpv
    folder.mkdir(parents=True)
    (folder / "CONTENTS").write_bytes(lines)


def obj(path: bytes) -> bytes:
    return b"obj " + path + b" 0123456789abcdef0123456789abcdef 315532800\n"


def fill(root: Path) -> None:
    """Files of two packages and of none, whose names are what nobody expects."""
    write(root, {"usr/bin/tool": "x" * 1000, "usr/lib/with space": "x" * 300, "usr/share/doc": "x" * 50})
    (root / "usr/bin/again").hardlink_to(root / "usr/bin/tool")
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/bin/link").symlink_to("tool")
    for name, size in ((NEWLINE, 7), (NO_UTF8, 8), (MARKUP.replace(b"/", b"|"), 9)):
        Path(os.fsdecode(os.path.join(bytes(root), b"usr/lib", name))).write_text("x" * size)
    owned = obj(b"/usr/bin/again") + obj(b"/usr/bin/tool") + b"dir /usr\nsym /usr/bin/link -> tool 315532800\n"
    contents(root, "app-misc/tool-1", owned + obj(b"/usr/lib/caf\xe9"))
    contents(root, "dev-libs/lib-2.1-r1", obj(b"/lib/with space") + obj(b"/usr/share/doc"))
    contents(root, "app-misc/docs-3", obj(b"/usr/share/gone"))
    contents(root, "app-misc/-MERGING-half-1", obj(b"/usr/lib/two"))


def finished(folder: Path, conf: str = CONF) -> Image:
    """An image whose root was filled by hand, stripped."""
    image = image_of(write(folder, {"one.conf": conf}) / "one.conf", folder / "build/one")
    place = Place(image.work, "root")
    fill(place.output / "image")
    receipts.write(place.receipt, Receipt("key", {}, "sha256:1", "boot", {"packages": 3}))
    receipts.write_atomically(place.digest, "sha256:1\n")
    (strip,) = (step for step in steps_of(image) if step.name == "strip")
    run_step(strip, run())
    return image


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image that is finished."""
    return finished(tmp_path)


def test_whose_files_are(image: Image) -> None:
    files = {file.path: file for file in measure(image, run()).files}
    tool, lib = "app-misc/tool-1", "dev-libs/lib-2.1-r1"
    assert set(files.values()) == {
        File(b"/lib", 0, NOBODY),
        File(b"/usr/bin/again", 1000, tool),
        File(b"/usr/bin/link", 0, tool),
        File(b"/usr/bin/tool", 0, tool),  # the same file by another name
        File(b"/usr/lib/" + NEWLINE, 7, NOBODY),
        File(b"/usr/lib/" + NO_UTF8, 8, tool),
        File(b"/usr/lib/" + MARKUP.replace(b"/", b"|"), 9, NOBODY),
        File(b"/usr/lib/with space", 300, lib),  # by the name it has in its package, through a link
    }


def test_packages_and_folders(image: Image) -> None:
    measured = measure(image, run())
    assert measured.packages == {
        "app-misc/tool-1": Volume(1008, 4),
        NOBODY: Volume(16, 3),
        "dev-libs/lib-2.1-r1": Volume(300, 1),
        "app-misc/docs-3": Volume(0, 0),  # nothing is left of it
    }
    assert list(measured.packages)[-1] == "app-misc/docs-3"
    folders = measured.folders()
    assert folders[b"/usr/bin"] == Volume(1000, 3)
    assert folders[b"/usr"] == Volume(1000 + 324, 7)
    assert b"" not in folders
    assert sum(volume.size for volume in measured.packages.values()) == measured.total.size
    assert [file.size for file in measured.biggest()[:1]] == [1000]


def test_what_the_rules_took(image: Image) -> None:
    measured = measure(image, run())
    database = sum(path.stat().st_size for path in (image.work / "root/image/var/db/pkg").rglob("CONTENTS"))
    assert [(rule["rule"], rule["files"], rule["bytes"]) for rule in measured.rules] == [
        ("/usr/share/*", 1, 50), ("/var/db/pkg", 4, database), ("/nothing/here", 0, 0),
    ]  # fmt: skip
    assert measured.removed == {"files": 5, "bytes": 50 + database}
    assert measured.tarball is None


def test_the_database_is_its_packages(tmp_path: Path) -> None:
    measured = measure(finished(tmp_path, CONF.replace("/var/db/pkg, ", "")), run())
    assert [file.path for file in measured.files if file.package == "app-misc/docs-3"] == [
        b"/var/db/pkg/app-misc/docs-3/CONTENTS"
    ]


def test_no_content_is_read(image: Image) -> None:
    for path in (image.work / "strip/image/usr").rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 1 << 40)  # holes: to read them would take until tomorrow
    assert measure(image, run()).total.size > 1 << 40


@pytest.mark.parametrize("gone", ["root.json", "strip.json", "root/image", "strip/image"])
def test_no_finished_build(image: Image, gone: str) -> None:
    path = image.work / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BuildError, match=r"^one: there is no finished build to look at; `doit image:one` makes one$"):
        measure(image, run())


def test_never_built(tmp_path: Path) -> None:
    image = image_of(write(tmp_path, {"one.conf": CONF}) / "one.conf", tmp_path / "build/one")
    with pytest.raises(BuildError, match="no finished build"):
        measure(image, run())
    assert not image.work.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"/usr/lib/caf\xc3\xa9 au lait", "/usr/lib/café au lait"),
        (b"caf\xe9", r"caf\xe9"),
        (rb"caf\xe9", r"caf\\xe9"),
        (b"two\nlines\x1b[31m\x7f", r"two\nlines\x1b[31m\x7f"),
        ("gpj.\u202eexe".encode(), r"gpj.\u202eexe"),
        (b"", ""),
    ],
)
def test_spelling(name: bytes, text: str) -> None:
    assert spelt(name) == text
