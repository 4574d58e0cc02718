"""What Portage and getconf read of the files that quern writes, or reads itself, is what was meant."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from getconf import ConfigGetter
from hypothesis import example, given
from hypothesis import strategies as st

from quern import config
from quern.config import portage as options
from quern.config import values
from quern.config.values import Context, Unfit, plain
from quern.errors import BuildError
from quern.portage import configroot, package_index, profile_files
from quern.portage.emerge import Surroundings
from quern.portage.repository import Repository, repos_conf
from quern.steps.work import check_sources

util = pytest.importorskip("portage.util", reason="Portage is not installed")
HERE = Context(Path("/project"), None)

# whatever is one line in an option: the characters that mean something to a reader more often than others
ODD = st.sampled_from(
    [*"\"'`$\\#%;=[]{}()*?!&|<>~ ,:", "${ROOT}", "$(id)", "%(x)s", "\xa0", "\u3000", "é", "日", "\U0001f600"]
)
LINE = st.lists(ODD | st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12).map("".join)
NAME = st.from_regex(r"\A[a-z_][a-z0-9_]{0,8}\Z")


def path_of(text: str) -> Path:
    """A path as an option gives it."""
    return values.path("/" + text.replace("/", "_").strip(), HERE)


@given(LINE)
@example('a"; evil="$(id)')
@example("a\\")
@example("a'$x")
def test_settings_for_the_host_side(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """make.conf(5), by Portage's own reader."""
    path = path_of(text)
    try:
        check_sources(path)
    except BuildError:
        return
    file = tmp_path_factory.getbasetemp() / "make.conf"
    around = Surroundings(path, path, path, path, path, path, path, "", 1, gentoo=True)
    file.write_text(around.host_settings())
    found = util.getconfig(str(file), expand={"FEATURES": "before"})
    assert (found["DISTDIR"], found["PORTAGE_TMPDIR"], found["PKGDIR"]) == (
        str(path),
        str(path),
        f"{path}/binpkgs".replace("//", "/"),
    )
    assert found["FEATURES"].split() == ["before", *configroot.FEATURES]


def test_make_conf(tmp_path: Path) -> None:
    (tmp_path / "make.conf").write_text(configroot.make_conf())
    found = util.getconfig(str(tmp_path / "make.conf"))
    assert found["FEATURES"].split() == list(configroot.FEATURES)
    assert (found["GENTOO_MIRRORS"], found["BINPKG_COMPRESS"]) == ("", "gzip")


@given(
    st.dictionaries(
        NAME, st.tuples(LINE, st.lists(NAME, max_size=3), st.integers() | st.none()), min_size=1, max_size=3
    )
)
def test_repos_conf(repositories: dict[str, tuple[str, list[str], int | None]]) -> None:
    from portage.repository.config import RepoConfigLoader
    from portage.util.configparser import SafeConfigParser, read_configs

    assert RepoConfigLoader  # which reads PORTAGE_REPOSITORIES so
    found = [
        Repository(name, path_of(text), Path("/x"), tuple(masters), priority)
        for name, (text, masters, priority) in repositories.items()
    ]
    parser = SafeConfigParser(defaults={"EPREFIX": "", "EROOT": "/"})
    read_configs(parser, [io.StringIO(repos_conf(found))])
    assert parser.sections() == list(repositories)
    for each in found:
        assert parser[each.name]["location"] == str(each.location)
        assert parser[each.name]["masters"].split() == list(each.masters or ())
        assert parser[each.name].get("priority") == (None if each.priority is None else str(each.priority))


@given(LINE)
@example("a  b")
@example("a #b")
def test_a_profile(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Its path is one line of a `parent` file."""
    try:
        profile = options.profile(f"tree:{text}", HERE)
    except Unfit:
        return
    folder = tmp_path_factory.getbasetemp()
    (folder / "parent").write_text(configroot.profile_files(profile)["parent"])
    assert util.grabfile(str(folder / "parent")) == [profile]


@given(st.lists(NAME, max_size=3))
def test_layout(tmp_path_factory: pytest.TempPathFactory, masters: list[str]) -> None:
    from portage.repository.config import parse_layout_conf

    folder = tmp_path_factory.mktemp("overlay")
    (folder / "metadata").mkdir()
    (folder / "metadata/layout.conf").write_text(configroot.overlay_layout(masters))
    found, warnings = parse_layout_conf(str(folder))
    assert found["masters"] == tuple(masters)
    assert set(found["profile-formats"]) >= {"portage-2", "profile-set"}
    assert found["thin-manifest"]
    assert not found["allow-missing-manifest"]
    assert not warnings


@given(
    st.text(
        st.sampled_from("ab/=-*#~[]: \t\n\r\x0b\x0c\x1c\x85\xa0\u2028\"'\\")
        | st.characters(exclude_categories=["Cs"], exclude_characters="\0")  # which is refused
    )
)
def test_lines_of_a_profile(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """package.use and the like: what quern takes for a line, Portage does."""
    file = tmp_path_factory.getbasetemp() / "package.use"
    file.write_text(text, encoding="utf-8", newline="")
    assert [line.text for line in profile_files.lines(file)] == util.grabfile(str(file))


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["DESC", "USE", "SLOT", "SHA1"]), LINE.map(str.strip).filter(bool), min_size=1)
    )
)
@example([{"DESC": "a\u2028SHA1: forged", "SHA1": "true"}])
@example([{"DESC": "a\x0bSHA1: forged\x85", "SHA1": "true"}])
def test_index(tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, str]]) -> None:
    from portage.getbinpkg import PackageIndex

    folder = tmp_path_factory.getbasetemp()
    stanzas = [{**stanza, "CPV": f"a/b-{number}"} for number, stanza in enumerate(found)]
    package_index.write_index(folder, stanzas)
    index = PackageIndex()
    with (folder / package_index.INDEX).open(encoding="utf-8") as file:
        index.read(file)
    assert [
        {name: each[name] for name in stanza} for each, stanza in zip(index.packages, stanzas, strict=True)
    ] == stanzas
    assert package_index.read_index(folder) == stanzas


@given(LINE.map(str.strip).filter(bool))
def test_a_file_of_options(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """A value that the template's file is given, as getconf reads it."""
    folder = tmp_path_factory.getbasetemp()
    written = config.template().replace(";maintainer =", f"maintainer = {text}")
    assert plain(text)
    (folder / "quern.conf").write_text(written, encoding="utf-8")
    read = ConfigGetter("quern_none", [str(folder / "quern.conf")]).getstr("dockergen.maintainer")
    assert config.load([folder / "quern.conf"], {}, folder).dockergen.maintainer == read == text
