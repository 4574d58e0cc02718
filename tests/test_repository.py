"""Repositories: what is read, what is refused, and the repos.conf that Portage gets."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.config import Settings, load
from quern.errors import RepositoryError
from quern.portage.repository import (
    Repository,
    load_repositories,
    overlay_repository,
    read_repository,
    repos_conf,
)


@pytest.fixture(autouse=True)
def _in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tree(name: str, layout: str = "masters =\n", folder: str | None = None) -> Path:
    """Make a repository in the current folder."""
    location = Path.cwd() / (folder or name)
    (location / "profiles").mkdir(parents=True)
    (location / "metadata").mkdir()
    if name:
        (location / "profiles/repo_name").write_text(f"{name}\n")
    (location / "metadata/layout.conf").write_text(layout)
    return location


def settings(text: str) -> Settings:
    file = Path.cwd() / "quern.conf"
    file.write_text(text)
    return load([file], {}, Path.cwd())


def refusal(text: str, starter: Path | None = None) -> str:
    with pytest.raises(RepositoryError) as caught:
        load_repositories(settings(text), starter or Path.cwd() / "starter")
    return str(caught.value)


def test_layout_conf_says_what_a_repository_is() -> None:
    location = tree(
        "old",
        "# a comment\nrepo-name = new\nmasters = gentoo other\naliases = a b\n"
        "profile-formats = portage-2 profile-set profile-default-eapi\nprofile_eapi_when_unspecified = 6\n",
    )
    assert read_repository(location) == Repository(
        "new",
        location,
        location / "profiles",
        masters=("gentoo", "other"),
        aliases=("a", "b"),
        profile_formats=("portage-2", "profile-set", "profile-default-eapi"),
        profile_eapi="6",
    )


def test_without_layout_conf_portages_defaults_hold() -> None:
    location = tree("plain")
    (location / "metadata/layout.conf").unlink()
    found = read_repository(location)
    assert (found.name, found.masters, found.profile_formats, found.profile_eapi) == (
        "plain",
        None,
        ("portage-1-compat",),
        "0",
    )


def test_the_eapi_of_profiles_counts_only_with_its_format() -> None:
    location = tree("x", "masters =\nprofile_eapi_when_unspecified = 6\nprofile-formats = portage-2\n")
    assert read_repository(location).profile_eapi == "0"


def test_repositories_come_in_the_order_of_the_option() -> None:
    first, starter = tree("first", folder="trees/first"), tree("starter")
    named = tree("musl", "masters = first\n", folder="elsewhere")
    found = load_repositories(
        settings(
            "[portage]\nrepositories = trees/first, starter, musl\n"
            "[repository:musl]\nlocation = elsewhere\npriority = 7\naliases = muslx\neclass-overrides = first\n"
        ),
        starter,
    )
    assert [repository.location for repository in found] == [first, starter, named]
    assert (found[2].priority, found[2].aliases, found[2].eclass_overrides) == (7, ("muslx",), ("first",))


def test_masters_of_the_section_replace_those_of_layout_conf() -> None:
    tree("first")
    tree("musl", "masters = gentoo\n")
    text = "[portage]\nrepositories = ./first, musl\n[repository:musl]\nlocation = musl\nmasters = first\n"
    assert load_repositories(settings(text), Path("none"))[1].masters == ("first",)


def test_unset_is_the_systems_tree() -> None:
    location = tree("gentoo", folder="usr/portage")
    found = load_repositories(settings(""), Path("none"), system=(Path.cwd() / "var", location))
    assert [repository.name for repository in found] == ["gentoo"]


def test_unset_without_a_tree_names_the_starter() -> None:
    with pytest.raises(RepositoryError) as caught:
        load_repositories(settings(""), Path("none"), system=(Path("/no/repos/gentoo"), Path("/no/portage")))
    assert str(caught.value) == (
        "portage.repositories is not set, and there is no Gentoo tree in /no/repos/gentoo or /no/portage\n"
        "Set it to the path of one, or to the small repository that comes with quern:\n"
        "    [portage]\n"
        "    repositories = starter"
    )


def test_what_portage_would_drop_is_refused() -> None:
    assert refusal("[portage]\nrepositories = ./absent\n") == (
        "quern.conf:2: portage.repositories: absent: there is no such folder"
    )
    (Path.cwd() / "empty").mkdir()
    assert refusal("[portage]\nrepositories = ./empty\n") == (
        "quern.conf:2: portage.repositories: empty: expected a Portage repository, but it has no profiles/repo_name"
    )
    tree("first")
    tree("odd name", folder="odd")
    assert refusal("[portage]\nrepositories = ./odd\n").endswith(
        "odd: 'odd name' is no name for a repository (letters, digits, _ and -)"
    )
    assert refusal("[portage]\nrepositories = musl\n[repository:musl]\nlocation = first\n") == (
        "[repository:musl]: first calls itself 'first'; "
        "name the section [repository:first], or give it `aliases = musl`"
    )
    tree("first", folder="copy")
    assert (
        refusal("[portage]\nrepositories = ./first, ./copy\n") == "two repositories are called 'first': first and copy"
    )
    tree("needy", "masters = frist\n")
    assert refusal("[portage]\nrepositories = ./first, ./needy\n") == (
        "repository 'needy' (needy): masters names 'frist', which portage.repositories does not list; "
        "did you mean first? (a tree of another name can be given `aliases = frist` in its [repository:...] section)"
    )
    tree("broken", "masters\n")
    assert "broken/metadata/layout.conf:1: expected `key = value`, got 'masters'" in refusal(
        "[portage]\nrepositories = ./broken\n"
    )


def test_an_alias_stands_for_a_master() -> None:
    tree("tree")
    tree("overlay", "masters = gentoo\n")
    text = "[portage]\nrepositories = tree, ./overlay\n[repository:tree]\nlocation = tree\naliases = gentoo\n"
    assert [repository.name for repository in load_repositories(settings(text), Path("none"))] == ["tree", "overlay"]


def test_the_overlay_comes_last_and_reads_the_projects_profiles() -> None:
    profiles = Path.cwd() / "profiles"
    profiles.mkdir()
    starter = tree("starter")
    with pytest.raises(RepositoryError, match=r"^profiles/repo_name: expected a file with the name of this project's"):
        overlay_repository(profiles, Path("/x"), ["starter"])
    (profiles / "repo_name").write_text("my images\n")
    with pytest.raises(RepositoryError, match=r"got 'my images'$"):
        overlay_repository(profiles, Path("/x"), ["starter"])
    (profiles / "repo_name").write_text("mine\n")
    overlay = overlay_repository(profiles, Path("/somewhere/overlay"), ["starter"])
    found = load_repositories(settings("[portage]\nrepositories = starter\n"), starter, overlay)
    assert [repository.name for repository in found] == ["starter", "mine"]
    assert (overlay.profiles, overlay.is_copied, found[0].is_copied) == (profiles, True, False)
    assert overlay.profile_eapi == "6"


def test_repos_conf() -> None:
    overlay = Repository("mine", Path("/b"), Path("/p"), ("gentoo",), 5, ("musl",), ("a", "b"))
    main = Repository("gentoo", Path("/a"), Path("/a/profiles"), ())
    assert repos_conf([overlay, main]) == (
        "[DEFAULT]\nmain-repo = gentoo\n\n"
        "[mine]\nlocation = /b\nauto-sync = no\nsync-type =\nmasters = gentoo\npriority = 5\n"
        "eclass-overrides = musl\naliases = a b\n\n"
        "[gentoo]\nlocation = /a\nauto-sync = no\nsync-type =\nmasters =\n"
    )


PATHS = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" %;#=[]"), min_size=1).map(str.strip)


@given(PATHS.filter(bool))
def test_repos_conf_is_read_back_as_written(path: str) -> None:
    location = Path("/") / path.replace("/", "_")
    text = repos_conf([Repository("x", location, location / "profiles", ())])
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser["x"]["location"] == str(location)
    assert parser.sections() == ["x"]


def test_no_value_can_add_a_line() -> None:
    with pytest.raises(RepositoryError, match="expected one line"):
        repos_conf([Repository("x", Path("/a\n[y]"), Path("/p"), ())])


def test_portage_reads_the_same(tmp_path: Path) -> None:
    """Ask the installed Portage which repositories it sees for a repos.conf of ours."""
    pytest.importorskip("portage", reason="Portage is not installed")
    main, other = tree("main", folder="100% main"), tree("other", "masters = first\n", folder="[x]")
    found = [
        Repository("main", main, main / "profiles", (), aliases=("first",)),
        Repository("other", other, other / "profiles", ("first",), priority=3),
    ]
    code = (
        "import portage; r = portage.db[portage.root]['porttree'].dbapi.settings.repositories;"
        "print([(x.name, x.location, [m.name for m in x.masters], x.priority) for x in r], r.mainRepo().name)"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PORTAGE_REPOSITORIES": repos_conf(found),
        "PORTAGE_CONFIGROOT": str(tmp_path),
        "PORTAGE_OVERRIDE_EPREFIX": str(tmp_path / "host"),
        "EPREFIX": "",
        "ROOT": str(tmp_path / "root"),
    }
    (tmp_path / "root").mkdir()
    defaults = Path(sys.prefix) / "share/portage/config"
    shutil.copytree(defaults, tmp_path / "host/share/portage/config", ignore=shutil.ignore_patterns("repos.conf"))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([("main", str(main), [], -1000), ("other", str(other), ["main"], 3)]) + " main"
