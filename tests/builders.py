"""Builder images for the tests, made of the machine's own Debian packages: the same compiler as the raw driver's.

No registry, no mirror: the files of the installed packages, and the Portage beside this Python in /opt/portage.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import docker

from quern.portage.setup import STARTER
from quern.portage.tools import declared_tools
from tests.dockerd import Dockerd
from tests.projects import DATA

PORTAGE = "opt/portage"  # where the builder has its Portage, as a virtual environment of the system's Python
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links into /usr in a Debian since bookworm
UNWANTED = re.compile(r"/usr/share/(doc|man|info|locale|lintian|bug)/|/etc/(resolv.conf|hosts|hostname|mtab)$")
ACCOUNTS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUPS = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"


@dataclass(frozen=True)
class Builder:
    """A builder image in a daemon of the tests."""

    daemon: Dockerd
    name: str = "quern-test/builder:1"

    @classmethod
    def imported(cls, daemon: Dockerd) -> Builder:
        """Make the image of this machine's packages, and bring it into the daemon."""
        with tempfile.NamedTemporaryFile() as file:
            write_debian_builder(file)
            file.flush()
            import_tar(daemon, Path(file.name), cls.name)
        return cls(daemon)

    def empty(self, name: str) -> str:
        """An image with nothing in it but folders."""
        with tempfile.NamedTemporaryFile() as file:
            with tarfile.open(file.name, mode="w") as tar:
                tar.addfile(_folder("etc"))
            import_tar(self.daemon, Path(file.name), name)
        return name

    def changed(self, name: str, *command: str) -> str:
        """The same with what a command changes, `/changed` by default."""
        with closing(docker.DockerClient(self.daemon.address)) as client:
            container = client.containers.create(self.name, list(command) or ["touch", "/changed"], network_mode="none")
            try:
                container.start()
                assert container.wait()["StatusCode"] == 0, container.logs()
                repository, _, tag = name.partition(":")
                container.commit(repository, tag)
            finally:
                container.remove(force=True, v=True)
        return name

    def like_gentoo(self, name: str) -> str:
        """The same as if Portage owned it: as part of the system, with a profile and a database of packages."""
        return self.changed(name, "sh", "-c", (DATA / "gentoo-builder.sh").read_text())

    def export(self, file: Path) -> None:
        """Write its file system as a tar."""
        with closing(docker.DockerClient(self.daemon.address)) as client:
            container = client.containers.create(self.name, ["true"], network_mode="none")
            try:
                with file.open("wb") as stream:
                    stream.writelines(container.export())
            finally:
                container.remove(force=True, v=True)

    def without_portage(self, name: str) -> str:
        """The same without Portage."""
        return self.changed(name, "rm", "-r", f"/{PORTAGE}", "/usr/local/bin/emerge")


def import_tar(daemon: Dockerd, file: Path, name: str) -> None:
    """Make an image of a tar."""
    repository, _, tag = name.partition(":")
    with closing(docker.DockerClient(daemon.address, timeout=600)) as client:
        client.api.import_image_from_file(str(file), repository=repository, tag=tag)
        assert client.images.get(name)


def _folder(name: str) -> tarfile.TarInfo:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name.endswith("tmp") else 0o755
    return folder


def write_debian_builder(stream: IO[bytes]) -> None:
    """Write a Debian with the starter's tools, a Python and Portage as a tar."""
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        for name in MERGED:
            if os.path.islink(f"/{name}"):
                tar.add(f"/{name}", name)
        for name in ("dev", "proc", "sys", "tmp", "root", "run", "var/tmp", "etc/alternatives"):
            tar.addfile(_folder(name))
        alternatives = [str(path) for path in Path("/usr/bin").iterdir() if _is_alternative(path)]
        alternatives += [str(path) for path in Path("/etc/alternatives").iterdir() if path.suffix != ".gz"]
        files = _files(_closure([*_declared(), "python3", "libc6-dev", "libc-bin"]))
        for name, path in sorted({_real_name(path): path for path in [*files, *alternatives]}.items()):
            tar.add(path, name, recursive=False)
        tar.add("/etc/ld.so.cache", "etc/ld.so.cache")
        _add_text(tar, "etc/passwd", ACCOUNTS)
        _add_text(tar, "etc/group", GROUPS)
        _add_portage(tar)


def _real_name(path: str) -> str:
    """A file's name in the tar: /bin/sh and /usr/bin/sh are the same one."""
    return f"{os.path.realpath(os.path.dirname(path))}/{os.path.basename(path)}".lstrip("/")


def _is_alternative(path: Path) -> bool:
    return path.is_symlink() and str(path.readlink()).startswith("/etc/alternatives/")


def _declared() -> list[str]:
    return sorted({tool.debian for tool in declared_tools([STARTER])})


def _closure(names: list[str]) -> list[str]:
    """The installed Debian packages that `names` depend on, themselves included; the first installed alternative."""
    form = "${Package}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
    depends, provider = dict[str, str](), dict[str, str]()
    for line in _output("dpkg-query", "--show", f"--showformat={form}").splitlines():
        name, needs, provides = line.split("\t")
        depends[name] = needs
        provider[name] = name
        for word in provides.split(","):
            provider.setdefault(word.split("(")[0].strip(), name)
    found, todo = set[str](), list(names)
    while todo:
        choices = [re.split(r"[ (:]", word.strip())[0] for word in todo.pop().split("|")]
        known = next((provider[word] for word in choices if word in provider), None)
        if known and known not in found:
            found.add(known)
            todo += [word for word in depends[known].split(",") if word.strip()]
    return sorted(found)


def _files(packages: list[str]) -> list[str]:
    lines = sorted(set(_output("dpkg-query", "--listfiles", *packages).splitlines()))
    files = [path for path in lines if path[1:] not in MERGED and not UNWANTED.search(path)]
    files += [str(made) for path in files if path.endswith(".py") for made in _compiled(Path(path))]
    return [path for path in files if os.path.islink(path) or os.path.isfile(path)]


def _compiled(source: Path) -> list[Path]:
    """What Debian's packages compile of a module when they are installed, as any builder's have."""
    return [*(source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")]


def _add_portage(tar: tarfile.TarFile) -> None:
    """Portage of this Python's environment, as an environment of the builder's own Python."""
    import portage

    packages = Path(str(portage.__file__)).parents[1]
    version = _output("/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    target = f"{PORTAGE}/lib/python{version}/site-packages"
    for source in ("portage", "_emerge", *(path.name for path in packages.glob("portage-*.dist-info"))):
        tar.add(packages / source, f"{target}/{source}")  # what pip has compiled as well
    for folder in ("lib/portage", "share/portage"):
        tar.add(Path(sys.prefix) / folder, f"{PORTAGE}/{folder}")
    script = (Path(sys.prefix) / "bin/emerge").read_text()
    _add_text(tar, f"{PORTAGE}/bin/emerge", f"#!/{PORTAGE}/bin/python3\n{script.partition(chr(10))[2]}", 0o755)
    _add_text(tar, f"{PORTAGE}/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    for name, points_to in ((f"{PORTAGE}/bin/python3", "/usr/bin/python3"), ("usr/local/bin/emerge", None)):
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, points_to or f"/{PORTAGE}/bin/emerge"
        tar.addfile(link)


def _add_text(tar: tarfile.TarFile, name: str, text: str, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text.encode()), mode
    tar.addfile(member, io.BytesIO(text.encode()))


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
