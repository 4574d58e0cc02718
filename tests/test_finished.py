"""What is taken out of a finished root, and what no layer of an image can hold."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.worker import finished
from tests.conftest import needs_root
from tests.projects import write
from tests.test_closure import Rooted, parts, rooted

__all__ = ["parts", "rooted"]  # fixtures

DATABASE = "var/db/pkg/lab/tool-1/CONTENTS"
BY_TIME, BY_HASH = "\0\0\0\0", "\1\0\0\0"


def cleared(root: Path, owned: tuple[str, ...] = ()) -> set[str]:
    """What of `root` is removed when a package owns the paths `owned`."""
    return set(finished.clear(str(root), {path[1:].encode() for path in owned}))


GONE = {
    "/var/cache/ldconfig/aux-cache": "x",
    "/etc/passwd-": "x",
    "/etc/subgid-": "x",
    "/etc/.pwd.lock": "",
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/etc/.updated": "x",
    "/var/.updated": "x",
    "/var/lib/systemd/random-seed": "x",
    "/var/cache/fontconfig/a.cache-7": "x",
    "/var/cache/man/de/index.db": "x",
    "/var/log/emerge.log": "x",
    "/usr/lib/python3/x/__pycache__/y.cpython-313.pyc": f"abcd{BY_TIME}time",
}
KEPT = {
    "/etc/passwd": "x",
    "/etc/ld.so.cache": "x",
    "/var/log/mine.log": "x",
    "/var/cache/app/data": "x",
    "/var/lib/dbus/machine-id": "uninitialized\n",
    "/usr/lib/python3/x/__pycache__/z.cpython-313.pyc": f"abcd{BY_HASH}hash",
    "/usr/lib/python3/x/z.pyc": f"abcd{BY_TIME}no cache: there may be no source",
}


def test_what_is_made_again_is_taken_out(tmp_path: Path) -> None:
    write(tmp_path, {name[1:]: text for name, text in {**GONE, **KEPT}.items()})
    assert cleared(tmp_path) == set(GONE)
    assert all((tmp_path / name[1:]).is_file() for name in KEPT)
    assert not any((tmp_path / name[1:]).exists() for name in GONE)


def test_what_a_package_owns_stays(tmp_path: Path) -> None:
    write(tmp_path, {name[1:]: text for name, text in GONE.items()})
    assert cleared(tmp_path, tuple(GONE)) == set()


def test_a_link_to_what_was_taken_out_goes_with_it(tmp_path: Path) -> None:
    """As dbus makes one; and nothing outside is reached."""
    write(
        tmp_path, {"outside/aux-cache": "mine", "root/etc/machine-id": GONE["/etc/machine-id"], "root/var/cache/x": ""}
    )
    root = tmp_path / "root"
    (root / "var/lib/dbus").mkdir(parents=True)
    (root / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    (root / "var/cache/ldconfig").symlink_to("../../../outside")
    assert cleared(root) == {"/etc/machine-id", "/var/lib/dbus/machine-id"}
    assert (tmp_path / "outside/aux-cache").exists()


@pytest.mark.parametrize("name", [".wh.", ".wh.x", ".wh..wh..opq", ".wh..wh.plnk/x"])
def test_names_that_no_layer_can_hold(rooted: Rooted, name: str) -> None:
    write(rooted.root, {f"usr/share/{name}": "", "usr/share/.what": "", DATABASE: f"obj /usr/share/{name} 0 0\n"})
    path = f"/usr/share/{name.partition('/')[0]}"
    package = "" if "/" in name else " (lab/tool-1)"
    with pytest.raises(BuildError) as error:
        rooted.strip()
    assert str(error.value).splitlines() == [
        "no layer of an image can hold files of lab; strip.paths could leave them out:",
        f"  {path}{package}: a name that begins with .wh. removes a file of another layer and is none itself (OCI"
        " image-spec, layer.md)",
    ]
    assert rooted.strip(f"{path}*") == []


@needs_root
def test_a_device_that_is_a_whiteout(rooted: Rooted) -> None:
    (rooted.root / "usr/share").mkdir()
    os.mknod(rooted.root / "usr/share/x", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.mknod(rooted.root / "usr/share/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with pytest.raises(BuildError, match=r"\n  /usr/share/x: a character device 0:0 removes"):
        rooted.strip()


@needs_root
def test_ids_that_rootless_engines_do_not_have(rooted: Rooted) -> None:
    """Said, with package and file; the image is made."""
    os.chown(rooted.root / "usr/bin/alone", 65535, 65535)
    os.chown(rooted.root / "usr/bin/program", 0, 65536)
    for number in range(5):
        write(rooted.root, {f"srv/{number}": ""})
        os.chown(rooted.root / f"srv/{number}", 3_000_000, 0)
    end = "engines of ordinary users (rootless) have ids up to 65535 only"
    assert rooted.strip(closure="error") == [
        f"/srv/0, /srv/1, /srv/2 and 2 more belong to 3000000:0: {end}",
        f"/usr/bin/program (lab/tool-1) belongs to 0:65536: {end}",
    ]
