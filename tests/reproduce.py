"""An image built from source twice, in surroundings that have nothing in common but what an image is declared to be.

python -m tests.reproduce [IMAGE]       both builds, and in which package they differ; musl-python3 takes 20 minutes

The second is made by an ordinary user of another name, more than a year later, on a machine of another name, with
another umask, time zone, locale and number of jobs, in a folder with a path of another length, with a compiler and a
build system told otherwise by its environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from quern.portage.keys import file_digest
from quern.worker.compare import compare
from tests.building import CHECKOUT, KEPT_DISTFILES, Project, make_project, python_for_everyone

EPOCH = "1700000000"
LATER = 500 * 86400 + 12345  # seconds
USER = 12345
STEPS = ("root", "strip", "tarball", "image")

NOISE = {
    "LC_ALL": "POSIX", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "USER": "stranger", "LOGNAME": "stranger",
    "HOSTNAME": "elsewhere", "CC": "false", "CFLAGS": "-O0 -g3", "CPPFLAGS": "-DNOISE", "LDFLAGS": "-Wl,--build-id",
    "LIBRARY_PATH": "/usr/lib", "C_INCLUDE_PATH": "/usr/include", "MAKEFLAGS": "-k", "MAKEOPTS": "-j9", "USE": "static",
    "FEATURES": "nostrip", "ROOT": "/nowhere", "CHOST": "noise", "DISTDIR": "/nowhere", "PORTAGE_TMPDIR": "/nowhere",
    "CONFIG_SITE": "/nowhere", "PYTHONHASHSEED": "7", "PERL5OPT": "-w", "TAR_OPTIONS": "--mode=0777", "GZIP_OPT": "-1",
    "POSIXLY_CORRECT": "1", "CDPATH": "/", "BASH_ENV": "/nowhere", "QUERN_EMERGE_JOBS": "3",
}  # fmt: skip

# $1: the preloaded clock; $2: the user's id; then the command. /etc is a copy: what is told there is another machine.
ELSEWHERE = """
set -e
clock=$1 user=$2; shift 2
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/etc /mnt/home
cp -a /etc/. /mnt/etc
cp "$clock" /mnt/clock.so
chmod 755 /mnt/clock.so
echo /mnt/clock.so > /mnt/etc/ld.so.preload
echo "stranger:x:$user:$user::/mnt/home:/bin/sh" >> /mnt/etc/passwd
echo "strangers:x:$user:" >> /mnt/etc/group
ln -sf /usr/share/zoneinfo/Pacific/Kiritimati /mnt/etc/localtime
chown "$user:$user" /mnt/home
mount --bind /mnt/etc /etc
hostname elsewhere
umask 077
exec setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
"""


def elsewhere(folder: Path, distfiles: Path, task: str, python: Path) -> tuple[Project, str]:
    """Run a task in a new project in `folder`, in the other surroundings; give the project and what was printed.

    `python` is that of python_for_everyone. Takes root, to make the surroundings. Nothing is shared with other
    projects but copies of their sources.
    """
    home = folder / "a-place-whose-name-is-rather-longer-than-others"
    project = make_project(home / "project", {})
    sources = [path for path in distfiles.iterdir() if path.is_file() and not path.name.startswith(".")]
    (home / "distfiles").mkdir()
    for source in sources:
        shutil.copyfile(source, home / "distfiles" / source.name)
    clock = folder / "clock.so"
    words = ["gcc", "-shared", "-fPIC", f"-DOFFSET={LATER}", "-o", str(clock), str(CHECKOUT / "tests/data/clock.c")]
    subprocess.run(words, check=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", home], check=True)
    environment = {
        **NOISE,
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HOME": "/mnt/home",
        "SOURCE_DATE_EPOCH": EPOCH,
        "QUERN_PORTAGE_DISTFILES": str(home / "distfiles"),
        "QUERN_POSTBUILD_ENGINES": "none",
    }
    command = ["unshare", "--mount", "--uts", "sh", "-c", ELSEWHERE, "sh", str(clock), str(USER)]
    ran = subprocess.run(
        [*command, str(python), "-m", "doit", task],
        cwd=project.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:]
    return project, ran.stdout


def digests(project: Project, image: str) -> dict[str, str]:
    """The digests of an image's steps: with the package database and all (root), and what is published."""
    work = project.folder / "build" / image
    return {step: (work / f"{step}.digest").read_text().strip() for step in STEPS}


def differences(one: Project, other: Project, image: str) -> list[str]:
    """Where the complete roots of two builds differ, a line a file; the other's user stands for root."""
    roots = [str(project.folder / f"build/{image}/root/image") for project in (one, other)]
    found = compare(roots[0], roots[1], roots)["differences"]
    lines = ((each, each["what"].replace(f"owner 0:0, then {USER}:{USER}", "").strip(", ")) for each in found)
    return [f"{each['package']}: {each['path']}: {what}" for each, what in lines if what]


def packages(project: Project, image: str) -> dict[str, dict[str, tuple[object, ...]]]:
    """What the binary packages of an image install: file by file, those left out of the image as well."""
    view = project.folder / f"build/{image}/packages/view"
    return {f"{path.parts[-3]}/{path.parts[-2]}": _content(path) for path in sorted(view.glob("*/*/*.gpkg.tar"))}


def _content(package: Path) -> dict[str, tuple[object, ...]]:
    """Of each file of a binary package (gpkg, GLEP 78): type, mode, size, link target, content."""
    with tarfile.open(package) as outer:
        inner = next(member for member in outer if "/image.tar" in member.name)
        stream = outer.extractfile(inner)
        assert stream is not None
        with tarfile.open(fileobj=BytesIO(stream.read())) as tar:
            return {
                member.name: (member.type, member.mode, member.size, member.linkname, _bytes(tar, member))
                for member in tar
            }


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member) if member.isreg() else None
    return stream.read() if stream else b""


def package_files(project: Project, image: str) -> dict[str, str]:
    """The SHA-256 of the file of each binary package of an image."""
    view = project.folder / f"build/{image}/packages/view"
    return {str(path.relative_to(view)): file_digest(path) for path in sorted(view.glob("*/*/*.gpkg.tar"))}


def main(image: str) -> int:
    """Build twice and say what differs; the exit status."""
    with tempfile.TemporaryDirectory(prefix="quern-reproduce-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        distfiles = Path(KEPT_DISTFILES or folder / "distfiles")
        variables = {"QUERN_PORTAGE_DISTFILES": str(distfiles), "QUERN_POSTBUILD_ENGINES": "none"}
        one = make_project(folder / "one", {**variables, "SOURCE_DATE_EPOCH": EPOCH})
        one.doit(f"image:{image}")
        print("built here", flush=True)
        python = python_for_everyone(folder / "python")
        other, _ = elsewhere(folder / "two", distfiles, f"image:{image}", python)
        print("built elsewhere", flush=True)
        theirs, ours = packages(other, image), packages(one, image)
        for package, files in ours.items():
            differ = sorted(path for path in {*files, *theirs[package]} if files.get(path) != theirs[package].get(path))
            print(f"{package}: {len(files)} entries, {len(differ)} differ {' '.join(differ[:20])}")
        shipped = [package_files(project, image) for project in (one, other)]
        for name in sorted(name for name in {*shipped[0], *shipped[1]} if shipped[0].get(name) != shipped[1].get(name)):
            print(f"{name}: the files DIFFER")
        for line in differences(one, other, image):
            print(line)
        first, second = digests(one, image), digests(other, image)
        for step in STEPS:
            print(f"{step}: {'identical' if first[step] == second[step] else 'DIFFERS'} {first[step]} {second[step]}")
    return int(first != second or shipped[0] != shipped[1])


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ["musl-python3"])))
