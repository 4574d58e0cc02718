"""A tiny Portage repository whose packages fail, each in its own way, and a real emerge to watch them.

python -m tests.failing     writes what emerge says about each into tests/data/failures/
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from quern.portage.configroot import make_conf

DATA = Path(__file__).parent / "data" / "failures"

TOOLS = (
    "basename bash bzip2 cat chgrp chmod chown comm cp cut date dirname env expr file find grep gzip head id install ln"
    " ls make mkdir mkfifo mktemp mv nproc od paste patch pathchk printf pwd readlink realpath rm rmdir scanelf sed"
    " sha256sum sh sleep sort stat tail tar tee test touch tr true uname uniq wc xargs xz awk egrep fgrep"
)

MASK = """\
# Someone <someone@example.org> (2026-01-01)
# Does not build with anything
lab/masked
"""
DEFAULTS = """\
ARCH="amd64"
ACCEPT_KEYWORDS="amd64"
ACCEPT_LICENSE="Free"
USERLAND="GNU"
CHOST="x86_64-pc-linux-gnu"
ELIBC="musl"
KERNEL="linux"
FETCHCOMMAND="/bin/false \\"\\${DISTDIR}/\\${FILE}\\" \\"\\${URI}\\""
"""
HEAD = """\
EAPI=8
DESCRIPTION="x"
HOMEPAGE="https://example.org/"
SLOT="{slot}"
LICENSE="{license}"
KEYWORDS="{keywords}"
S="${{WORKDIR}}"
"""

# category/package-version: lines of its ebuild
EBUILDS = {
    "lab/fine-1": "",
    "lab/broken-1": """
src_compile() {
    echo "cc -c parser.c"
    echo "parser.c:12:5: error: unknown type name 'foo'" >&2
    false || die "cannot compile parser.c"
}""",
    "lab/exit-1": 'src_compile() { echo "exit.c:3: error: no such type"; exit 1; }',
    "lab/configure-1": 'src_configure() { echo "checking for zlib... no"; die "zlib not found"; }',
    "lab/unpack-1": 'src_unpack() { unpack ./absent.tar.gz; }',
    "lab/setup-1": 'pkg_setup() { die "this machine is not supported"; }',
    "lab/postinst-1": 'pkg_postinst() { die "cannot add the user"; }',
    "lab/preinst-1": 'pkg_preinst() { die "cannot move the old files"; }',
    "lab/full-1": 'src_compile() { head -c 9 /dev/zero > /dev/full || die "cannot write"; }',
    "lab/fetch-1": 'SRC_URI="http://127.0.0.1:9/pub/fetch-1.tar.gz"',
    "lab/fetch-restricted-1": """
SRC_URI="fetch-restricted-1.tar.gz"
RESTRICT="fetch"
pkg_nofetch() { einfo "Get it from the vendor"; }""",
    "lab/checksum-1": 'SRC_URI="http://127.0.0.1:9/pub/checksum-1.tar.gz"',
    "lab/truncated-1": 'SRC_URI="http://127.0.0.1:9/pub/truncated-1.tar.gz"',
    "lab/inherit-1": "inherit nosuch",
    "lab/inherit-2": "KEYWORDS=~amd64",
    "lab/command-1": "KEYWORDS = amd64",
    "lab/syntax-1": "if true; then",
    "lab/masked-1": "",
    "lab/keyword-1": "KEYWORDS=~amd64",
    "lab/nokeyword-1": 'KEYWORDS=""',
    "lab/license-1": 'LICENSE="Secret"',
    "lab/eapi-1": "EAPI=42",
    "lab/invalid-1": 'DEPEND="lab/fine ("',
    "lab/needs-1": 'DEPEND="lab/absent"',
    "lab/needs-runtime-1": 'RDEPEND=">=lab/fine-2"',
    "lab/needs-tool-1": 'BDEPEND="dev-util/absent-tool"',
    "lab/middle-1": 'RDEPEND="lab/needs"',
    "lab/needs-masked-1": 'RDEPEND="lab/masked"',
    "lab/ring-1": 'DEPEND="lab/ring-other"',
    "lab/ring-other-1": 'DEPEND="lab/ring"',
    "lab/own-tool-1": 'BDEPEND="lab/own-tool"',
    "lab/needs-own-tool-1": 'BDEPEND="lab/own-tool"',
    "lab/flags-1": 'IUSE="extra"',
    "lab/needs-flag-1": 'RDEPEND="lab/flags[extra]"',
    "lab/needs-noflag-1": 'RDEPEND="lab/flags[nothere]"',
    "lab/required-1": 'IUSE="gtk qt"\nREQUIRED_USE="^^ ( gtk qt )"',
    "lab/one-1": 'RDEPEND="!!lab/fine"',
    "lab/lib-1": "",
    "lab/lib-2": "",
    "lab/wants-lib1-1": 'RDEPEND="=lab/lib-1"',
    "lab/wants-lib2-1": 'RDEPEND="=lab/lib-2"',
    "lab/file-a-1": 'src_install() { echo a > x; insinto /usr/share; doins x; }',
    "lab/file-b-1": 'src_install() { echo b > x; insinto /usr/share; doins x; }',
}  # fmt: skip

# name of the case: (lines of `packages`, options)
CASES: dict[str, tuple[str, str]] = {
    "compile": ("lab/broken", ""),
    "compile-two": ("lab/broken lab/configure", "--keep-going"),
    "exit": ("lab/exit", ""),
    "configure": ("lab/configure", ""),
    "unpack": ("lab/unpack", ""),
    "setup": ("lab/setup", ""),
    "preinst": ("lab/preinst", ""),
    "postinst": ("lab/postinst", ""),
    "full": ("lab/full", ""),
    "fetch": ("lab/fetch", ""),
    "fetch-restricted": ("lab/fetch-restricted", ""),
    "checksum": ("lab/checksum", ""),
    "truncated": ("lab/truncated", ""),
    "fetch-only": ("lab/fetch", "--fetchonly"),
    "fetch-only-restricted": ("lab/fetch-restricted", "--fetchonly"),
    "fetch-only-checksum": ("lab/checksum", "--fetchonly"),
    "fetch-only-two": ("lab/fetch lab/fetch-restricted", "--fetchonly"),
    "masked": ("lab/masked", ""),
    "masked-dependency": ("lab/needs-masked", ""),
    "masked-keyword": ("lab/keyword", ""),
    "keyword-changes": ("lab/keyword", "--autounmask=y"),
    "masked-no-keyword": ("lab/nokeyword", ""),
    "masked-license": ("lab/license", ""),
    "masked-eapi": ("lab/eapi", ""),
    "masked-invalid": ("lab/invalid", ""),
    "ebuild-inherit": ("=lab/inherit-1", ""),
    "ebuild-inherit-older": ("lab/inherit", ""),
    "ebuild-command": ("lab/command", ""),
    "ebuild-syntax": ("lab/syntax", ""),
    "no-arch": ("lab/fine", ""),
    "quote": ("lab/fine", ""),
    "unsatisfied": ("lab/absent", ""),
    "unsatisfied-version": ("lab/needs-runtime", ""),
    "unsatisfied-dependency": ("lab/middle", ""),
    "unsatisfied-host": ("lab/needs-tool", ""),
    "no-binary": ("lab/fine", "--usepkgonly"),
    "circular": ("lab/ring", ""),
    "circular-host": ("lab/needs-own-tool", ""),
    "use-needed": ("lab/needs-flag", ""),
    "use-changes": ("lab/needs-flag", "--autounmask-use=y --binpkg-respect-use=n"),
    "use-missing": ("lab/needs-noflag", ""),
    "required-use": ("lab/required", ""),
    "blocker": ("lab/one lab/fine", ""),
    "slot-conflict": ("lab/wants-lib1 lab/wants-lib2", ""),
    "collision": ("lab/file-a lab/file-b", "--jobs=1"),
    "parent-missing": ("lab/fine", ""),
    "invalid-atom": ("lab/fine lab/fine-1", ""),
    "success": ("lab/fine", ""),
}


class Lab:
    """The repository, and the folders of one emerge after the other, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "lab"
        shutil.rmtree(folder, ignore_errors=True)
        self._write_tree()

    def _write_tree(self) -> None:
        for path, text in {
            "metadata/layout.conf": "masters =\nthin-manifests = true\nsign-manifests = false\n"
            "manifest-hashes = BLAKE2B SHA512\nprofile-formats = portage-2 profile-set\n",
            "profiles/repo_name": "lab\n",
            "profiles/eapi": "8\n",
            "profiles/categories": "lab\n",
            "profiles/arch.list": "amd64\n",
            "profiles/package.mask": MASK,
            "profiles/base/eapi": "8\n",
            "profiles/base/make.defaults": DEFAULTS,
            "licenses/Free": "free\n",
            "licenses/Secret": "secret\n",
        }.items():  # fmt: skip
            self._write(path, text)
        for cpv, body in EBUILDS.items():
            name = re.sub(r"-\d+$", "", cpv)
            head = HEAD.format(slot=0, license="Free", keywords="amd64")
            for key in ("EAPI", "KEYWORDS", "LICENSE"):
                if re.search(rf"^{key}=", body, re.M):
                    head = re.sub(rf"^{key}=.*\n", "", head, flags=re.M)
            text = body + "\n" + head if body.startswith("EAPI") else head + body + "\n"
            self._write(f"{name}/{cpv.split('/')[1]}.ebuild", text)
        digest = "0" * 128
        for name in ("fetch", "fetch-restricted", "checksum", "truncated"):
            self._write(f"lab/{name}/Manifest", f"DIST {name}-1.tar.gz 9 BLAKE2B {digest} SHA512 {digest}\n")

    def _write(self, path: str, text: str) -> None:
        file = self.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def emerge(self, case: str) -> tuple[int, str]:
        """Run one case; give the exit status and what emerge printed."""
        packages, options = CASES[case]
        self._write(f"profiles/{case}/eapi", "8\n")
        if case != "no-arch":
            self._write(f"profiles/{case}/parent", "../base\n" + ("../nowhere\n" if case == "parent-missing" else ""))
        if case == "quote":
            self._write("profiles/quote/make.defaults", 'CFLAGS="-O2\n\nLDFLAGS=-s\n')
        self._write(f"profiles/{case}/packages", packages.replace(" ", "\n") + "\n")
        work = self.folder / "work" / case
        environment = self._surround(work, case)
        (work / "distfiles/checksum-1.tar.gz").write_text("123456789")
        (work / "distfiles/truncated-1.tar.gz").write_text("123")
        argv = [sys.executable, str(Path(sys.executable).parent / "emerge"), *OPTIONS, *options.split(), "@profile"]
        with (work / "output").open("w+b") as output:
            status = subprocess.call(argv, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        return status, (work / "output").read_text(errors="replace")

    def _surround(self, work: Path, case: str) -> dict[str, str]:
        """Make the folders around one emerge, and its environment."""
        host, config = work / "host", work / "config"
        for folder in ("tmp", "logs", "distfiles", "binpkgs", "image", "host/usr/bin", "host/home", "host/var/db/pkg"):
            (work / folder).mkdir(parents=True)
        for side in (host, config):
            (side / "etc/portage").mkdir(parents=True)
            (side / "etc/portage/make.profile").symlink_to(self.tree / "profiles" / case)
        defaults = Path(sys.prefix) / "share/portage/config"
        shutil.copytree(defaults, host / "share/portage/config", ignore=shutil.ignore_patterns("repos.conf"))
        for tool in TOOLS.split():
            where = shutil.which(tool)
            if where:
                (host / "usr/bin" / tool).symlink_to(where)
        (host / "usr/bin/gtar").symlink_to(shutil.which("tar") or "tar")
        for side in (host, config):
            (side / "etc/portage/make.conf").write_text(make_conf())
        return {
            "HOME": f"{host}/home", "TERM": "dumb", "NOCOLOR": "true", "NO_COLOR": "1", "LC_ALL": "C.UTF-8",
            "PATH": f"{host}/usr/bin", "PORTAGE_OVERRIDE_EPREFIX": str(host), "EPREFIX": "",
            "PORTAGE_CONFIGROOT": str(config), "ROOT": f"{work}/image", "SYSROOT": f"{work}/image",
            "PORTAGE_REPOSITORIES": f"[DEFAULT]\nmain-repo = lab\n[lab]\nlocation = {self.tree}\nauto-sync = no\n",
            "PKGDIR": f"{work}/binpkgs", "DISTDIR": f"{work}/distfiles", "PORTAGE_TMPDIR": f"{work}/tmp",
            "PORTAGE_LOGDIR": f"{work}/logs", "EMERGE_LOG_DIR": f"{work}/logs",
            **({"PORTAGE_USERNAME": "root", "PORTAGE_GRPNAME": "root"} if os.geteuid() == 0 else {}),
        }  # fmt: skip


OPTIONS = (
    "--ignore-default-opts", "--color=n", "--nospinner", "--package-moves=n", "--quiet-build=y", "--update", "--deep",
    "--oneshot", "--jobs=2", "--usepkg", "--buildpkg", "--binpkg-respect-use=y",
)  # fmt: skip


def missing() -> str:
    """Say what this machine lacks for a real emerge; empty when nothing."""
    absent = [tool for tool in ("bash", "scanelf", "xz", "patch", "make") if not shutil.which(tool)]
    if not (Path(sys.executable).parent / "emerge").exists():
        absent.append("emerge (Portage) beside this Python")
    return f"a real emerge needs {', '.join(absent)}" if absent else ""


def anonymous(text: str, lab: Lab, case: str) -> str:
    """Replace this machine's paths in what emerge printed."""
    text = text.replace(str(lab.folder / "work" / case), "/build").replace(str(lab.folder), "/lab")
    text = re.sub(re.escape(sys.prefix) + r"/(?:local/)?lib/python3\.\d+/site-packages", "/usr/lib/python3", text)
    text = text.replace(sys.prefix, "/usr").replace(sys.base_prefix, "/usr")
    text = re.sub(r"_checksum_failure_\.\w+", "_checksum_failure_.x", text)
    text = re.sub(r" +Load avg: .*", "", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d{8}-\d{6}", "20160516-152300", text)


def main() -> None:
    """Capture every case."""
    lab = Lab(Path(sys.argv[1] if len(sys.argv) > 1 else "/tmp/failing"))
    DATA.mkdir(parents=True, exist_ok=True)
    for case in sys.argv[2:] or CASES:
        status, text = lab.emerge(case)
        print(f"{case}: exit {status}, {len(text)} characters")
        (DATA / f"{case}.txt").write_text(anonymous(text, lab, case))


if __name__ == "__main__":
    main()
