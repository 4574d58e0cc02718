from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from quern.portage import emerge
from quern.portage.emerge import Surroundings
from quern.worker import host

AROUND = Surroundings(
    config=Path("/w/config"),
    host=Path("/w/host"),
    root=Path("/w/image"),
    packages=Path("/w/view"),
    distfiles=Path("/w/distfiles"),
    scratch=Path("/w/scratch/tmp"),
    logs=Path("/w/logs"),
    repositories="[DEFAULT]\nmain-repo = tree\n",
    jobs=3,
)


def test_environment_is_made_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = AROUND.environment()
    for name in ("CFLAGS", "USE", "ROOT", "PATH", "PORTAGE_BINHOST", "FEATURES", "LD_PRELOAD", "PYTHONPATH", "LANG"):
        monkeypatch.setenv(name, "of the caller")
    assert AROUND.environment() == before


def test_environment_keeps_prefix_and_host_apart() -> None:
    """EPREFIX empty makes ROOT the plain root; an empty PORTAGE_OVERRIDE_EPREFIX crashes Portage."""
    variables = AROUND.environment()
    assert (variables["EPREFIX"], variables["PORTAGE_OVERRIDE_EPREFIX"]) == ("", "/w/host")
    assert variables["ROOT"] == variables["SYSROOT"] == "/w/image"
    assert variables["PORTAGE_CONFIGROOT"] == "/w/config"
    assert variables["PORTAGE_REPOSITORIES"] == "[DEFAULT]\nmain-repo = tree\n"
    assert variables["PATH"] == "/w/host/usr/bin"


def test_every_path_is_in_the_work_folder() -> None:
    for name, value in AROUND.environment().items():
        assert "/" not in value or value.startswith("/w/") or value == emerge.NO_FETCHING, name


def test_optional_variables() -> None:
    assert "PORTAGE_BINHOST" not in AROUND.environment()
    variables = replace(AROUND, binhosts=("file:///a", "file:///b")).environment()
    assert variables["PORTAGE_BINHOST"] == "file:///a file:///b"


def test_root_needs_no_portage_user() -> None:
    assert "PORTAGE_USERNAME" not in AROUND.environment()
    variables = replace(AROUND, root_user=True).environment()
    assert variables["PORTAGE_USERNAME"] == variables["PORTAGE_GRPNAME"] == "root"


def test_packages_do_not_see_the_image_s_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert AROUND.environment()["SOURCE_DATE_EPOCH"] == "315532800"


def test_jobs() -> None:
    """One package is built at a time, with all the processes that there may be."""
    assert replace(AROUND, jobs=6).environment()["MAKEOPTS"] == "-j6"
    assert "--jobs=1" in emerge.build_options()


def test_what_a_system_has_is_taken_as_it_is() -> None:
    """An update of all that is there would rebuild what a build only runs."""
    for options in (emerge.source_options(2, binhost=True), emerge.build_options(), emerge.host_options()):
        assert not {"--update", "--deep"}.intersection(options)
        assert {"--oneshot", "--ignore-default-opts"} <= set(options)


def test_options_are_emerge_s() -> None:
    pytest.importorskip("portage")
    code = "import sys; from _emerge.main import parse_opts; print(parse_opts(sys.argv[1:])[1:])"
    last = [*emerge.host_options(), *(f"{name}={value}" for name, value in host.OPTIONS.items())]
    for options in (emerge.source_options(2, binhost=True), emerge.build_options(), last):
        argv = [sys.executable, "-c", code, *options, "@profile"]
        ran = subprocess.run(argv, capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "['@profile']" in ran.stdout


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            ">>> Emerging (5 of 16) dev-libs/expat-2.5.0::starter for /w/image/",
            ">>> Emerging (5 of 16) dev-libs/expat-2.5.0::starter",
        ),
        (
            ">>> Emerging binary (1 of 19) sys-libs/musl-1.1.14::gentoo for /tmp/quern/image/",
            ">>> Emerging binary (1 of 19) sys-libs/musl-1.1.14::gentoo",
        ),
        (
            ">>> Installing (19 of 19) dev-lang/python-3.4.3-r1::gentoo to /tmp/quern/image/",
            ">>> Installing (19 of 19) dev-lang/python-3.4.3-r1::gentoo",
        ),
        (">>> Auto-cleaning packages...", None),
        (" * Messages for package app-misc/one-1:", None),
        (">>> Jobs: 1 of 16 complete, 2 running", None),
    ],
)
def test_progress(line: str, shown: str | None) -> None:
    match = emerge.PROGRESS.fullmatch(line)
    assert (match[1] if match else None) == shown


def test_a_gentoo_system_is_its_own_host_side() -> None:
    around = replace(AROUND, gentoo=True)
    variables = around.environment()
    assert not {"PORTAGE_OVERRIDE_EPREFIX", "EPREFIX"} & variables.keys()
    assert (variables["SYSROOT"], variables["ROOT"], variables["PATH"].split(":")[-2]) == ("/", "/w/image", "/bin")


def test_settings_of_the_host_side() -> None:
    """As a shell reads them, which is how Portage does: the words of FETCHCOMMAND are expanded when it is called."""
    around = replace(AROUND, gentoo=True)
    script = f'FEATURES=theirs\n{around.host_settings()}printf "%s\\n" "$FEATURES" "$FETCHCOMMAND" "$PKGDIR" "$DISTDIR"'
    features, fetch, packages, distfiles = subprocess.check_output(["sh", "-c", script], text=True).splitlines()
    assert features.startswith("theirs ")
    assert "-sandbox" in features.split()
    assert fetch == emerge.NO_FETCHING
    assert (packages, distfiles) == ("/w/host/binpkgs", "/w/distfiles")
