"""What every test stands on: a scrubbed environment, tools that are there or a reason why not, a private daemon.

A test for which something is missing on this machine skips with the reason. With QUERN_REQUIRE_ALL=1, which .ci/run
sets, every skip is a failure: a green run there means that everything ran.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import settings

from tests.building import KEPT_DISTFILES, Project, make_project, once, open_to_all, python_for_everyone, run_folder
from tests.dockerd import Dockerd, Unavailable
from tests.projects import write
from tests.reproduce import EPOCH

if TYPE_CHECKING:
    from tests.builders import Builder

Stock = Callable[..., None]  # the fixture `stock`: (the new store, a pattern of packages that are left out)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")

# The same examples in every run; QUERN_TEST_EXAMPLES=5000 looks for new ones, at leisure.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("new", max_examples=int(os.environ.get("QUERN_TEST_EXAMPLES", 100)), deadline=None)
settings.load_profile("new" if "QUERN_TEST_EXAMPLES" in os.environ else "same")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell began this in the background, and all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRE_ALL = os.environ.get("QUERN_REQUIRE_ALL") == "1"

# What a user may have set and quern, doit, Portage, the docker SDK or a compiler would obey. Proxies and CA settings
# stay: the sources are fetched through them.
SCRUBBED = ("QUERN_", "DOCKER_", "DOIT_", "PORTAGE_", "PORTDIR", "EMERGE_", "CARGO_", "PYTHON", "LC_")
SCRUBBED_NAMES = {
    "ACCEPT_KEYWORDS", "ARCH", "CBUILD", "CC", "CFLAGS", "CHOST", "CONFIG_PROTECT", "CPPFLAGS", "CXX", "CXXFLAGS",
    "DISTDIR", "EPREFIX", "FEATURES", "FETCHCOMMAND", "GENTOO_MIRRORS", "INSTALL_MASK", "LANG", "LANGUAGE", "LDFLAGS",
    "MAKEFLAGS", "MAKEOPTS", "PKGDIR", "ROOT", "SOURCE_DATE_EPOCH", "SYSROOT", "USE",
}  # fmt: skip

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.fixture(scope="session", autouse=True)
def scrubbed_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same environment for every test, before any other fixture runs; HOME is an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(SCRUBBED) or name in SCRUBBED_NAMES:
                patch.delenv(name)
        patch.setenv("LC_ALL", "C.UTF-8")
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """A docker daemon of the tests' own, without network and without images; `dockerd.address` is its DOCKER_HOST."""
    daemon = Dockerd()
    try:
        daemon.start()
    except Unavailable as reason:
        daemon.stop()
        pytest.skip(str(reason))
    try:
        yield daemon
    finally:
        daemon.stop()


@pytest.fixture(scope="session")
def builder(dockerd: Dockerd) -> Builder:
    """A Debian with Portage in the tests' daemon."""
    from tests.builders import Builder

    return Builder.imported(dockerd)


@pytest.fixture
def client(dockerd: Dockerd) -> Iterator[Any]:
    """The SDK's client, and at the end no container of the test."""
    import docker

    with closing(docker.DockerClient(dockerd.address)) as found:
        yield found
        for container in found.containers.list(all=True):
            container.remove(force=True, v=True)


@pytest.fixture(scope="session")
def skopeo() -> Path:
    """The skopeo command."""
    return tool("skopeo", "skopeo")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables that make projects share sources and packages, and build without a daemon.

    The folders are those of the whole run: what one worker has built, the others find.
    """
    tool("gcc", "gcc")
    tool("scanelf", "pax-utils")
    folder = run_folder(tmp_path_factory)
    return {
        "QUERN_PORTAGE_BINPKG": str(folder / "binpkgs"),
        "QUERN_PORTAGE_DISTFILES": KEPT_DISTFILES or str(folder / "distfiles"),
        "QUERN_POSTBUILD_ENGINES": "none",
    }


@pytest.fixture(scope="session")
def two_images(tmp_path_factory: pytest.TempPathFactory, shared: dict[str, str]) -> tuple[Project, str]:
    """hello and musl-busybox from source at once, into a store that is empty: the project, and what doit printed."""
    folder = run_folder(tmp_path_factory) / "two"
    variables = {**shared, "SOURCE_DATE_EPOCH": EPOCH}

    def make() -> str:
        assert not Path(shared["QUERN_PORTAGE_BINPKG"]).exists()
        return make_project(folder, variables).doit("-n", "2", "image:hello", "image:musl-busybox")

    return Project(folder, variables), once(folder.with_suffix(".output"), make)


@pytest.fixture(scope="session")
def first(
    tmp_path_factory: pytest.TempPathFactory, shared: dict[str, str], two_images: tuple[Project, str]
) -> tuple[Project, str]:
    """musl-python3 from source, but for what it has of the two images: the project, and what doit printed."""
    project = make_project(tmp_path_factory.mktemp("first") / "project", shared)
    return project, project.doit("image:musl-python3")


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Puts the packages of test_emerging.TREE into a new store; they are built once a run.

    For tests of what comes after packages are built. The files are copies: a test may damage them.
    """
    from tests.test_emerging import Lab

    tool("scanelf", "pax-utils")
    folder = run_folder(tmp_path_factory) / "lab"

    def make() -> str:
        lab = Lab(folder)
        write(lab.tree, {"profiles/image/packages": "lab/top\nlab/other\n"})
        lab.build()
        return "\n".join(lab.emerged())

    once(folder.with_suffix(".output"), make)

    def put(store: Path, without: str = "") -> None:
        shutil.copytree(folder / "binpkgs", store, ignore=shutil.ignore_patterns(".*", without))

    return put


def tool(command: str, package: str) -> Path:
    """The path of a host tool; skips the test, naming the Debian package, where it is missing."""
    found = shutil.which(command)
    if found is None:
        pytest.skip(f"{command} is missing (Debian package {package})")
    return Path(found)


@pytest.fixture
def as_nobody() -> Callable[[Path, str], str]:
    """Runs Python code (the folder to be in, the code) as an ordinary user, from root; returns what it prints.

    The user may not be able to reach this interpreter or this checkout (below /root, say): the code drops its
    rights after all imports.
    """

    def run(folder: Path, code: str) -> str:
        prelude = (
            "import concurrent.futures.thread, json, os, pathlib, sys\n"
            "sys.path.insert(0, sys.argv[1]); import quern.worker.pack, quern.worker.trees, tests.trees\n"
            "import quern.worker.inventory, quern.worker.unpack, quern.worker.gpkg_write, quern.worker.members\n"
            "os.chdir(sys.argv[2]); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        )
        open_to_all(folder.parent)
        checkout = str(Path(__file__).parents[1])
        ran = subprocess.run(
            [sys.executable, "-c", prelude + code, checkout, str(folder)], capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


@pytest.fixture
def for_everyone(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> str:
    """A Python with Portage, doit and quern that an ordinary user can reach, as the test's folder; one a run."""
    open_to_all(tmp_path)
    home = run_folder(tmp_path_factory) / "python"
    return once(home.with_suffix(".path"), lambda: str(python_for_everyone(home)))


# With several workers (`pytest -n auto`) those that share what takes minutes to make are one's, in this order.
TOGETHER = {
    "images": ("test_images.py", "test_readme_builds.py"),
    "docker": (
        *("test_docker_faults.py", "test_docker_gentoo.py", "test_docker_shell.py", "test_docker_storage.py"),
        *("test_engine.py", "test_engine_tls.py", "test_trial.py"),
        "test_docker.py",  # last: the other worker has made the two images
    ),
}


def _group(file: str) -> str:
    """What a test module is run together with; most stand alone."""
    return next((group for group, files in TOGETHER.items() if file in files), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups first, then modules that build packages, then the others: so the workers end together."""
    grouped = [file for files in TOGETHER.values() for file in files]
    build = {item.path.name for item in items if item.get_closest_marker("emerge")}

    def place(item: pytest.Item) -> tuple[int, bool]:
        file = item.path.name
        return grouped.index(file) if file in grouped else len(grouped), file not in build

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto`: one worker more than cores, because tests wait: for daemons, signals, time limits, single threads."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist obeys it
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401 (xdist's)
    """Whole groups for each worker. xdist's own groups change an attribute that pytest 9 does not have any more."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no types
        def _split_scope(self, nodeid: str) -> str:
            return _group(Path(nodeid.split("::", 1)[0]).name)

    return Scheduling(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which modules took the time, where it was more than a minute: seconds on the clock, setup included."""
    seconds = defaultdict[str, float](float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    total = sum(seconds.values())
    if total > 60:
        terminalreporter.section("what took the time")
        for file, spent in sorted(seconds.items(), key=lambda row: -row[1])[:25]:
            terminalreporter.line(f"{spent:7.0f} s  {file}")
        terminalreporter.line(f"{total:7.0f} s  all")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is required, a skipped test has failed."""
    return _required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Where everything is required, a skipped module has failed."""
    return _required((yield))


def _required(report: Report) -> Report:
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"QUERN_REQUIRE_ALL=1, but skipped: {report.longrepr}"
    return report
