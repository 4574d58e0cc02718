"""Files and environment to Settings: what loads, what is refused, and in which words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.config import OPTIONS, Settings, load, search, template
from quern.config.option import Option
from quern.config.options import REPOSITORY_OPTIONS
from quern.config.settings import Storage
from quern.errors import ConfigError

SEED = """\
[portage]
; Load main portage tree + our overlays
repositories = /home/user/dev/portage, /home/user/dev/musl-overlay, /home/user/dev/test-overlay

; Write generated binary packages for faster runs
binpkg = /home/user/dev/binpkg/amd64-musl-hardened


[build]
; Write the image to /home/user/dev/image
outdir = /home/user/dev/image

; Use our new profile
profile = test-overlay:musl-python3

; Build through docker
driver = docker


[docker]
; Use que quern-amd64-musl-hardened image
image = quern-amd64-musl-hardened:20160404


[emerge]
; We've got a big machine, tell emerge to run fast
jobs = 6


[strip]
; We want a small image, remove docs
doc = yes
; Also, remove portage packaging info, and Python test suite
paths = /var/db/pkg, /usr/lib/python3.4/test


[postbuild]
; Once built, generate a docker image
engines = docker


[dockergen]
; Name of the image
name = musl-python3

; Use YYYYMMDD as the image tag
tag = $$DATE$$

; Extra info for the generated image
maintainer = Raphaël Barrois <raphael.barrois+quern@polytechnique.org>
entrypoint = /usr/bin/python3
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Load one file quern.conf of the current folder."""
    file = Path.cwd() / "quern.conf"
    file.write_text(text, encoding="utf-8", newline="")
    return load([file], environ or {}, Path.cwd())


def refusal(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Load what must be refused; the message is one line."""
    with pytest.raises(ConfigError) as caught:
        read(text, environ)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_example_of_2016_loads_as_it_is() -> None:
    found = read(SEED)
    assert [str(reference.path) for reference in found.portage.repositories or ()] == [
        "/home/user/dev/portage",
        "/home/user/dev/musl-overlay",
        "/home/user/dev/test-overlay",
    ]
    assert found.build.driver == "docker"
    assert found.build.outdir == Path("/home/user/dev/image")
    assert found.build.profile == "test-overlay:musl-python3"
    assert found.docker.image == "quern-amd64-musl-hardened:20160404"
    assert found.emerge.jobs == 6
    assert found.strip.doc
    assert not found.strip.dev
    assert found.strip.paths == ("/var/db/pkg", "/usr/lib/python3.4/test")
    assert found.postbuild.engines == "docker"
    assert found.dockergen.tag == "$$DATE$$"
    assert found.dockergen.maintainer == "Raphaël Barrois <raphael.barrois+quern@polytechnique.org>"
    assert found.dockergen.entrypoint == ("/usr/bin/python3",)


def test_without_files_everything_has_its_default() -> None:
    found = load([], {}, Path.cwd())
    assert found.build.driver == "raw"
    assert found.build.compression == "gzip"
    assert found.build.keep_failed
    assert found.build.outdir is None
    assert found.emerge.jobs == 0
    assert found.portage.repositories is None
    assert found.docker.daemon is None
    assert found.postbuild.engines is None
    assert found.dockergen.tag == "latest"
    assert found.sources == ()
    assert found.portage.mirrors == ()


def test_what_has_no_effect_any_more_is_accepted_and_said() -> None:
    found = read("[portage]\nautofix = yes\n", {"QUERN_BUILD_CHECKPOINTS": "3"})
    first, second = found.warnings
    assert first == (
        "Warning: QUERN_BUILD_CHECKPOINTS: build.checkpoints has no effect any more:"
        " a root takes a second or two, no copies are kept"
    )
    assert second.endswith(
        "quern.conf:2: portage.autofix has no effect any more:"
        " /usr/portage is the main repository in containers, and untouched elsewhere"
    )


def options(settings: Settings) -> Settings:
    """The options alone, without where they are from."""
    return settings._replace(sources=(), origins=())


def test_the_template_sets_nothing() -> None:
    assert options(read(template())) == options(load([], {}, Path.cwd()))


def test_the_template_uncommented_is_the_defaults() -> None:
    lines = [
        line.removeprefix(";") if " = " in line or line.endswith(" =") else line for line in template().splitlines()
    ]
    text = "\n".join(line for line in lines if not line.startswith("; ")).split(";[repository:NAME]")[0]
    found = read(text)
    assert found.docker.daemon == "unix:///var/run/docker.sock"
    nothing = load([], {}, Path.cwd())
    assert options(found) == options(nothing._replace(docker=found.docker))


def test_the_template_names_every_option_and_variable() -> None:
    text = template()
    for option in OPTIONS:
        assert f"; {option.variables[0]} - type={option.kind} - {option.doc}" in text
        assert f"\n;{option.key} =" in text
    assert all(f"\n;{option.key} =" in text for option in REPOSITORY_OPTIONS)
    assert (
        "; QUERN_EMERGE_JOBS - type=int - Processors that all builds together may keep busy; 0: all\n;jobs = 0\n"
        in text
    )


def test_later_files_win_and_the_environment_wins_over_all(tmp_path: Path) -> None:
    first, second = tmp_path / "first.conf", tmp_path / "second.conf"
    first.write_text("[emerge]\njobs = 1\nask = on\n[build]\ndriver = docker\n")
    second.write_text("[emerge]\njobs = 2\n[build]\ndriver = docker\n")
    found = load([first, tmp_path / "absent.conf", second], {"QUERN_BUILD_DRIVER": "raw"}, tmp_path)
    assert (found.emerge.jobs, found.emerge.ask, found.build.driver) == (2, True, "raw")
    assert found.sources == (first, second)
    assert dict(found.origins) == {
        "emerge.jobs": "second.conf:2",
        "emerge.ask": "first.conf:3",
        "build.driver": "QUERN_BUILD_DRIVER",
    }


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: str(option.name))
def test_every_option_can_be_set_by_its_variable(option: object) -> None:
    examples = {
        "build.driver": "docker",
        "build.confine": "off",
        "build.profile": "here:x",
        "build.compression": "zstd",
        "build.baselayout_atoms": "sys-apps/baselayout",
        "build.lock": "packages.lock",
        "build.closure": "error",
        "docker.daemon": "unix:///run/docker.sock",
        "docker.memory": "2g",
        "emerge.memory_per_job": "1g",
        "docker.cpus": "1.5",
        "docker.workdir_storage": "tmpfs:8g",
        "portage.binhost": "https://packages.example/amd64",
        "portage.repositories": "starter",
        "portage.mirrors": "gnu=https://mirror.example/gnu",
        "portage.gentoo_mirrors": "https://mirror.example/gentoo",
        "strip.paths": "/a",
        "postbuild.engines": "none",
        "dockergen.ports": "80",
        "dockergen.volumes": "/data",
        "dockergen.workdir": "/data",
        "dockergen.env": "A=b",
        "dockergen.labels": "A=b",
        "dockergen.stop_signal": "SIGINT",
        "dockergen.annotations": "A=b",
    }
    chosen = next(item for item in OPTIONS if item is option)
    by_kind = {"bool": "off" if chosen.default == "on" else "on", "int": "7"}
    text = examples.get(chosen.name, by_kind.get(chosen.kind, "name"))
    plain = getattr(load([], {}, Path.cwd()), chosen.section)._asdict()
    found = getattr(load([], {chosen.variables[0]: text}, Path.cwd()), chosen.section)._asdict()
    assert {key for key in found if found[key] != plain[key]} == {chosen.field}


def test_limits_of_containers() -> None:
    found = read("[docker]\nmemory = 1G\ncpus = 1.5\ncapabilities = mknod, CAP_SYS_CHROOT\nnetwork = host\n").docker
    assert (found.memory, found.cpus, found.network) == (1 << 30, 1_500_000_000, "host")
    assert found.capabilities == ("CAP_MKNOD", "CAP_SYS_CHROOT")
    assert [read(f"[docker]\nmemory = {text}\n").docker.memory for text in ("6m", "8192k", "7340032")] == [
        6 << 20,
        8 << 20,
        7 << 20,
    ]
    assert read("").docker[2:] == (None, None, None, (), Storage())


def test_workdir_storage() -> None:
    texts = ("folder", "volume:my-builds", "tmpfs:8g", "tmpfs:1048576", "tmpfs:512M")
    assert [read(f"[docker]\nworkdir_storage = {text}\n").docker.workdir_storage for text in texts] == [
        Storage(),
        Storage(volume="my-builds"),
        Storage(size=8 << 30),
        Storage(size=1 << 20),
        Storage(size=512 << 20),
    ]


@pytest.mark.parametrize(
    "text",
    ["fodler", "tmpfs", "tmpfs:", "tmpfs:0", "tmpfs:1t", "tmpfs:5%", "volume:", "volume:x", "volume:a/b", "Tmpfs:1g"],
)
def test_workdir_storage_that_is_none(text: str) -> None:
    assert refusal(f"[docker]\nworkdir_storage = {text}\n") == (
        "quern.conf:2: docker.workdir_storage: expected folder, volume:NAME (two or more letters, digits, _ . -) or"
        f" tmpfs:SIZE (512m, 4g), got {text!r}"
    )


# What would have become a line of a Dockerfile, as an image's configuration was once written. Between words and items a
# new line is a space.
INJECTED = {
    "name": ["one\nUSER root"],
    "tag": ["1\nUSER root"],
    "maintainer": ["me\nUSER root", "me\rUSER root", "me\u2028USER root"],
    "entrypoint": ["'/bin/sh\nUSER root'", '["/bin/sh\\nUSER root"]'],
    "command": ["'-c\nUSER root'", '["-c\\nUSER root"]'],
    "ports": ["80\nUSER root"],
    "volumes": ["/data\nUSER root"],
    "workdir": ["/data\nUSER root"],
    "user": ["nobody\nUSER root", "nobody:\nUSER root"],
    "env": ["A='b\nUSER root'", "'A\nUSER'=root"],
    "labels": ["a='b\nUSER root'", "'a\nUSER'=root"],
    "stop_signal": ["SIGINT\nUSER root"],
    "annotations": ["a='b\nUSER root'", "'a\nUSER'=root"],
}


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.section == "dockergen"], ids=lambda o: str(o.key)
)
def test_no_value_of_an_image_brings_another_line_in(option: Option) -> None:
    for text in INJECTED[option.key]:
        with pytest.raises(ConfigError) as caught:
            load([], {option.variables[0]: text}, Path())
        assert str(caught.value).startswith(f"{option.variables[0]}: {option.name}: expected ")
        assert "\n" not in str(caught.value)


def test_an_empty_value_means_the_default() -> None:
    assert read("[emerge]\njobs =\n[build]\noutdir =\n[strip]\npaths =\n").emerge.jobs == 0
    assert (
        read(
            "[emerge]\njobs = 6\n[strip]\npaths = /x\n", {"QUERN_EMERGE_JOBS": "", "QUERN_STRIP_PATHS": " "}
        ).strip.paths
        == ()
    )


def test_a_misspelt_distfiles_is_understood_everywhere() -> None:
    assert read("[portage]\ndisftiles = sources\n").portage.distfiles == Path.cwd() / "sources"
    assert read("", {"QUERN_PORTAGE_DISFTILES": "/s"}).portage.distfiles == Path("/s")
    assert read("[portage]\ndisftiles = /a\n", {"QUERN_PORTAGE_DISTFILES": "/b"}).portage.distfiles == Path("/b")
    assert refusal("[portage]\ndisftiles = /a\ndistfiles = /b\n") == (
        "quern.conf:3: portage.distfiles stands on line 2 already"
    )
    assert refusal("", {"QUERN_PORTAGE_DISFTILES": "/a", "QUERN_PORTAGE_DISTFILES": "/b"}) == (
        "QUERN_PORTAGE_DISTFILES and QUERN_PORTAGE_DISFTILES: expected one value for portage.distfiles, got two"
    )


def test_foreign_variables_that_count() -> None:
    assert load([], {"DOCKER_HOST": "tcp://192.0.2.1:2375"}, Path()).docker.daemon == "tcp://192.0.2.1:2375"
    assert (
        read("[docker]\ndaemon = unix://run/d.sock\n", {"DOCKER_HOST": "tcp://x:1"}).docker.daemon
        == "unix:///run/d.sock"
    )
    assert load([], {"DOCKER_HOST": ""}, Path()).docker.daemon is None
    assert refusal("", {"DOCKER_HOST": "nonsense"}).startswith("DOCKER_HOST: docker.daemon: expected the address")
    assert read("[build]\nsource_date_epoch = 5\n", {"SOURCE_DATE_EPOCH": "7"}).build.source_date_epoch == 7
    assert read("", {"SOURCE_DATE_EPOCH": "7", "QUERN_BUILD_SOURCE_DATE_EPOCH": "9"}).build.source_date_epoch == 9
    assert "SOURCE_DATE_EPOCH: build.source_date_epoch: expected an integer, got 'now'" in refusal(
        "", {"SOURCE_DATE_EPOCH": "now"}
    )


@pytest.mark.parametrize("name", ["SOURCE_DATE_EPOCH", "QUERN_BUILD_SOURCE_DATE_EPOCH"])
@pytest.mark.parametrize("value", ["", " ", "now", "1.5", "-1", "1_0", "0x10", "17\n18", "9" * 19, "\udcff"])
def test_a_time_that_is_none(name: str, value: str) -> None:
    """Empty is what `export SOURCE_DATE_EPOCH=$(git log ...)` gives where git refuses: not the default in silence."""
    said = refusal("[build]\nsource_date_epoch = 5\n", {name: value})
    assert said.startswith(f"{name}: build.source_date_epoch: expected ")


def test_an_empty_time_is_an_error_where_it_decides() -> None:
    both = {"SOURCE_DATE_EPOCH": "", "QUERN_BUILD_SOURCE_DATE_EPOCH": "9"}
    assert read("", both).build.source_date_epoch == 9
    assert read("[build]\nsource_date_epoch =\n").build.source_date_epoch is None  # as the template has it


REFUSED = [
    ("[emerge]\njobs = many\n", "quern.conf:2: emerge.jobs: expected an integer, got 'many'"),
    ("[emerge]\njobs = -1\n", "quern.conf:2: emerge.jobs: expected an integer, 0 or more, got '-1'"),
    ("[emerge]\njobs = 1_0\n", "quern.conf:2: emerge.jobs: expected an integer, got '1_0'"),
    (
        "[emerge]\n\n; x\nask = maybe\n",
        "quern.conf:4: emerge.ask: expected on or off (or yes, no, true, false, 1, 0), got 'maybe'",
    ),
    ("[emerg]\njobs = 1\n", "quern.conf:1: unknown section [emerg]; did you mean [emerge]?"),
    ("[emerge]\njob = 1\n", "quern.conf:2: emerge.job: unknown option; did you mean emerge.jobs?"),
    ("[build]\njobs = 1\n", "quern.conf:2: build.jobs: unknown option; did you mean emerge.jobs?"),
    ("[emerge]\nqqq = 1\n", "quern.conf:2: emerge.qqq: unknown option; there are: ask, jobs, memory_per_job"),
    (
        "[DEFAULT]\n",
        "quern.conf:1: unknown section [DEFAULT]; there are: build, docker, emerge, portage,"
        " strip, postbuild, dockergen, tests, repository:NAME",
    ),
    ("[emerge]\njobs = 1\njobs = 2\n", "quern.conf:3: emerge.jobs stands on line 2 already"),
    ("[emerge]\n[build]\n[emerge]\n", "quern.conf:3: section [emerge] stands on line 1 already"),
    ("[emerge]\njobs\n", "quern.conf:2: expected `key = value`, got 'jobs'"),
    ("[emerge]\njobs: 1\n", "quern.conf:2: expected `key = value`, got 'jobs: 1'"),
    ("jobs = 1\n", "quern.conf:1: expected a [section] before the first option, got 'jobs = 1'"),
    ("[emerge\njobs = 1\n", "quern.conf:1: expected [section], got '[emerge'"),
    ("[emerge] x\n", "quern.conf:1: expected [section], got '[emerge] x'"),
    ("[emerge]\njobs = 1\0\n", "quern.conf:2: expected text without control characters"),
    ("[emerge]\njobs = 1\r2\n", "quern.conf:2: expected text without control characters"),
    (
        "[emerge]\njobs = 1\n  ask = on\n",
        "quern.conf:3: emerge.jobs: expected one line, got 'ask = on' as its continuation (an"
        " indented line continues the option above)",
    ),
    ("[build]\ndriver = podman\n", "quern.conf:2: build.driver: expected raw or docker, got 'podman'"),
    (
        "[docker]\nnetwork = a b\n",
        "quern.conf:2: docker.network: expected a docker network (none, host, or a name), got 'a b'",
    ),
    (
        "[emerge]\nmemory_per_job = lots\n",
        "quern.conf:2: emerge.memory_per_job: expected an amount of memory, 6m or more (512m, 4g), got 'lots'",
    ),
    (
        "[docker]\nmemory = 5m\n",
        "quern.conf:2: docker.memory: expected an amount of memory, 6m or more (512m, 4g), got '5m'",
    ),
    (
        "[docker]\ncpus = 0\n",
        "quern.conf:2: docker.cpus: expected a number of processors, 0.01 or more (2, 1.5), got '0'",
    ),
    (
        "[docker]\ncapabilities = mknod, all\n",
        "quern.conf:2: docker.capabilities: expected names of capabilities (MKNOD, SYS_CHROOT), got 'ALL'",
    ),
    (
        "[build]\nprofile = default/linux\n",
        "quern.conf:2: build.profile: expected REPOSITORY:PATH, the path below the repository's"
        " profiles folder, without spaces or colons, got 'default/linux'",
    ),
    (
        "[portage]\nrepositories = starter, gentoo\n",
        "quern.conf:2: portage.repositories: there is no [repository:gentoo]; there are: starter"
        " (a folder has a slash in it: ./gentoo)",
    ),
    (
        "[portage]\nrepositories = musk\n[repository:musl]\nlocation = /m\n",
        "quern.conf:2: portage.repositories: there is no [repository:musk]; did you mean musl? (a"
        " folder has a slash in it: ./musk)",
    ),
    (
        "[portage]\nrepositories = ./a, ./a\n",
        "quern.conf:2: portage.repositories: expected each repository once, got './a'",
    ),
    ("[repository:musl]\npriority = 1\n", "quern.conf:1: repository:musl: expected `location = PATH`, got none"),
    (
        "[repository:musl]\nlocation = /m\neclass_overrides = x\n",
        "quern.conf:3: repository:musl.eclass_overrides: unknown option; did you mean"
        " repository:musl.eclass-overrides?",
    ),
    ("[repository:-x]\nlocation = /m\n", "quern.conf:1: section [repository:-x]: '-x' is no name for a repository"),
    ("[repository:x-1]\nlocation = /m\n", "quern.conf:1: section [repository:x-1]: 'x-1' is no name for a repository"),
    ("[repository:starter]\nlocation = /m\n", "quern.conf:1: section [repository:starter]: 'starter' is quern's own"),
    (
        "[repository:DEFAULT]\nlocation = /m\n",
        "quern.conf:1: section [repository:DEFAULT]: 'DEFAULT' is no name for a repository",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message.split(": ", 1)[1][:50] for _, message in REFUSED])
def test_bad_files_are_refused_with_file_and_line(text: str, message: str) -> None:
    assert refusal(text) == message


def test_a_section_without_options_is_still_checked() -> None:
    assert "expected `location = PATH`" in refusal("[repository:musl]\n")


def test_bad_encoding_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "quern.conf"
    file.write_bytes(b"[dockergen]\nmaintainer = Rapha\xebl\n")
    with pytest.raises(ConfigError, match=r"^quern.conf:2: expected UTF-8 text, got byte 0xeb$"):
        load([file], {}, tmp_path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(ConfigError, match=r"^x: cannot be read: Is a directory$"):
        load([tmp_path / "x"], {}, tmp_path)


def test_windows_lines_and_a_byte_order_mark_are_read() -> None:
    assert read("\ufeff[emerge]\r\njobs = 3\r\n").emerge.jobs == 3


def test_names_with_glob_characters_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "a[1]*"
    folder.mkdir()
    (folder / "quern.conf").write_text("[emerge]\njobs = 3\n")
    assert load([folder / "quern.conf"], {}, folder).emerge.jobs == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("QUERN_EMERGE_JOB", "QUERN_EMERGE_JOB: unknown option; did you mean QUERN_EMERGE_JOBS?"),
        ("QUERN_EMERGE_", "QUERN_EMERGE_: unknown option; did you mean QUERN_EMERGE_ASK?"),
        ("QUERN_EMERG_JOBS", "QUERN_EMERG_JOBS: unknown option; did you mean QUERN_EMERGE_JOBS?"),
        (
            "QUERN_REPOSITORY_MUSL_LOCATION",
            "QUERN_REPOSITORY_MUSL_LOCATION: a repository is described in a file only, in its"
            " [repository:NAME] section",
        ),
    ],
)
def test_unknown_variables_are_refused(name: str, message: str) -> None:
    assert refusal("", {name: "1"}) == message


def test_variables_that_are_no_options_are_left_alone() -> None:
    environ = {"QUERN_CONFIG": "", "QUERN_SYSROOT": "/x", "QUERN_TEST_DAEMON": "1", "QUERNBUILD": "1", "PATH": "/bin"}
    assert load([], environ, Path()).emerge.jobs == 0


def test_a_bad_variable_is_named() -> None:
    assert refusal("[emerge]\njobs = 1\n", {"QUERN_EMERGE_JOBS": "many"}) == (
        "QUERN_EMERGE_JOBS: emerge.jobs: expected an integer, got 'many'"
    )
    assert "without control characters" in refusal("", {"QUERN_DOCKERGEN_MAINTAINER": "a\x1bb"})
    assert "expected one line" in refusal("", {"QUERN_DOCKERGEN_MAINTAINER": "a\nb"})
    assert "without control characters" in refusal("", {"QUERN_DOCKERGEN_MAINTAINER": "a\udce9"})


def test_repository_sections() -> None:
    found = read(
        "[portage]\nrepositories = starter, musl,\n   ./here\n"
        "[repository:musl]\nlocation = ../musl\nmasters =\npriority = -5\neclass-overrides = a b\naliases = m, n\n"
    )
    (musl,) = found.repositories
    assert (musl.name, musl.location, musl.masters, musl.priority) == ("musl", Path.cwd().parent / "musl", None, -5)
    assert (musl.eclass_overrides, musl.aliases) == (("a", "b"), ("m", "n"))
    assert [(reference.name, reference.path) for reference in found.portage.repositories or ()] == [
        ("starter", None),
        ("musl", None),
        (None, Path.cwd() / "here"),
    ]


def test_the_file_that_quern_config_names_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "quern.conf"
    assert search(file, {}, tmp_path / "etc") == (tmp_path / "etc", file)
    (tmp_path / "mine").write_text("")
    assert search(file, {"QUERN_CONFIG": "mine"}, tmp_path / "etc") == (tmp_path / "etc", file, tmp_path / "mine")
    with pytest.raises(ConfigError, match=r"^QUERN_CONFIG: expected a file, got 'mien'$"):
        search(file, {"QUERN_CONFIG": "mien"})


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" $'\"();`\\|"), min_size=1).map(
    str.strip
)


@given(PRINTABLE.filter(bool))
def test_a_line_of_text_loads_as_written(text: str) -> None:
    assert read(f"[dockergen]\nmaintainer = {text}\n").dockergen.maintainer == text
    assert load([], {"QUERN_DOCKERGEN_MAINTAINER": text}, Path()).dockergen.maintainer == text


@given(
    st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])), min_size=1).filter(
        lambda words: words[0] != ""
    )
)
def test_a_command_in_json_loads_as_written(words: list[str]) -> None:
    text = json.dumps(words, ensure_ascii=False)
    assert read(f"[dockergen]\nentrypoint = {text}\n").dockergen.entrypoint == tuple(words)


@given(st.binary(max_size=60))
def test_any_bytes_load_or_are_refused_in_one_line(data: bytes) -> None:
    file = Path.cwd() / "quern.conf"
    file.write_bytes(b"[dockergen]\nenv = " + data)
    message = None
    try:
        load([file], {}, Path.cwd())
    except ConfigError as error:
        message = str(error)
    assert message is None or ("\n" not in message and message.startswith("quern.conf:"))
