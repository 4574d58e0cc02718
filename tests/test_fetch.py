"""Sources of real builds: fetched by quern, from servers on the loopback interface; no ebuild has the network."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.drivers.confinement import obstacle
from quern.errors import BuildError
from quern.fetching.folder import ASIDE, RECORD
from quern.portage import emerge
from quern.steps.fetching import fetch_sources
from tests.conftest import tool
from tests.projects import source_build, write
from tests.servers import answer, answering, closed_port, resumable, serving
from tests.test_emerging import TREE, Lab, ebuild
from tests.thief import thief

pytestmark = pytest.mark.emerge

RIGHT, OTHER = "what the Manifest says\n", "what upstream made of it\n"
DEFAULTS = "profiles/image/make.defaults"


def line(name: str, content: str = RIGHT) -> str:
    """The Manifest's line of a file."""
    data = content.encode()
    digests = f"BLAKE2B {hashlib.blake2b(data).hexdigest()} SHA512 {hashlib.sha512(data).hexdigest()}"
    return f"DIST {name} {len(data)} {digests}\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder to serve."""
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image of one package, whose source is `one.txt`."""
    tool("scanelf", "pax-utils")
    lab = Lab(tmp_path / "lab")
    write(lab.tree, {"profiles/image/packages": "lab/one\n", "lab/one/Manifest": line("one.txt")})
    return lab


def options(lab: Lab, **values: object) -> None:
    """Set options of [portage]."""
    text = (lab.folder / "lab.conf").read_text()
    rows = "".join(f"{name} = {value}\n" for name, value in values.items())
    write(lab.folder, {"lab.conf": text.replace("[portage]\n", f"[portage]\n{rows}")})


def recipe(lab: Lab, uris: str, lines: str = "", name: str = "one") -> None:
    """Write the package's ebuild, with these URIs."""
    body = f'cp "${{DISTDIR}}/{name}.txt" "${{ED}}/usr/share/lab/{name}" || die'
    write(lab.tree, {f"lab/{name}/{name}-1.ebuild": ebuild(f'SRC_URI="{uris}"\n{lines}\nsrc_unpack() {{ :; }}', body)})


def build(lab: Lab, address: str) -> None:
    """Build the image with its source at `address`; only from its ebuild, which is another one each time."""
    recipe(lab, f"{address}/one.txt")
    lab.build()


def refused(lab: Lab, address: str = "") -> list[str]:
    """The lines of the error of a build, in which nothing was built; the last one names the log."""
    with pytest.raises(BuildError) as error:
        build(lab, address) if address else lab.build()
    assert lab.emerged() == []
    return str(error.value).splitlines()


def test_a_file_that_changes_on_the_server(lab: Lab, files: Path) -> None:
    """Never in an image; what was fetched before is used, whatever the server has now."""
    fetched = lab.image.distfiles / "one.txt"
    write(files, {"one.txt": OTHER})
    with serving(files) as (address, asked):
        assert refused(lab, address) == [
            "one.txt of lab/one-1 is not the file that its Manifest describes",
            f"  tried {address}/one.txt: has 25 bytes; its Manifest says 23",
            "Put the right one.txt into the distfiles folder; if upstream changed it, the Manifest must follow.",
            f"log: {lab.folder}/work/logs/packages.log",
        ]
        assert not fetched.exists()
        write(files, {"one.txt": RIGHT})
        lab.build()
        assert lab.installed() == {"one": RIGHT.strip()}
        assert "Fetching 1 source file, 0.0 kB" in lab.said
        write(files, {"one.txt": OTHER})
        asked.clear()
        build(lab, f"{address}/.")
        assert lab.emerged() == ["lab/one-1"]
        assert asked == []
    assert fetched.read_text() == RIGHT


def test_several_files_at_once(lab: Lab, files: Path) -> None:
    """One message names all that cannot be had; the others are there then."""
    names = [f"{letter}.txt" for letter in "abcdef"]
    write(lab.tree, {"lab/one/Manifest": "".join(map(line, ["one.txt", *names]))})
    write(files, dict.fromkeys(["one.txt", *names[2:]], RIGHT))
    port = closed_port()
    with serving(files) as (address, _):
        other = f"http://127.0.0.1:{port}"
        recipe(lab, " ".join([f"{address}/one.txt", *(f"{address}/{name} {other}/{name}" for name in names)]))
        lines = refused(lab)
    assert lines[0] == "a.txt of lab/one-1 could not be fetched"
    assert lines[1] == f"  tried {address}/a.txt: 404 File not found"
    assert lines[2].startswith(f"  tried {other}/a.txt: ")
    assert lines[3].startswith("Put a.txt into the distfiles folder, name a mirror in [portage] mirrors, or check the")
    assert lines[5] == "b.txt of lab/one-1 could not be fetched"
    there = {path.name for path in lab.image.distfiles.iterdir()}
    assert there == {"one.txt", *names[2:], RECORD}


@pytest.mark.parametrize("content", [RIGHT[:7], OTHER + RIGHT, RIGHT.upper()])
def test_a_file_of_the_user_s_that_is_another_one(lab: Lab, files: Path, content: str) -> None:
    """Cut short, or wrong: fetched anew, and what was there is still there under another name, which is said."""
    write(files, {"one.txt": RIGHT})
    write(lab.image.distfiles, {"one.txt": content})
    with serving(files) as (address, _):
        build(lab, address)
    file = lab.image.distfiles / "one.txt"
    (kept,) = lab.image.distfiles.glob(f"one.txt{ASIDE}*")
    assert (file.read_text(), kept.read_text()) == (RIGHT, content)
    told = f"Warning: {file} is not what its Manifest describes; another was fetched, and that one is now {kept}"
    assert told in lab.said


def test_a_good_file_and_a_wrong_manifest(lab: Lab) -> None:
    """It is left as it is, and once the Manifest is right, nothing has to be fetched."""
    file = lab.image.distfiles / "one.txt"
    write(lab.image.distfiles, {"one.txt": OTHER})
    address = f"http://127.0.0.1:{closed_port()}"
    assert refused(lab, address)[:4] == [
        "one.txt of lab/one-1 is not the file that its Manifest describes",
        f"  {file} has 25 bytes; its Manifest says 23",
        f"  the file that was there is left as it was: {file}",
        f"  tried {address}/one.txt: Connection refused",
    ]
    assert {path.name for path in lab.image.distfiles.iterdir()} == {"one.txt"}
    write(lab.tree, {"lab/one/Manifest": line("one.txt", OTHER)})
    build(lab, address)
    assert file.read_text() == OTHER


def test_a_mirror_that_is_a_folder_of_this_machine(lab: Lab, files: Path) -> None:
    """Below a folder that confined commands have for themselves."""
    mirror = write(files / "my mirror", {"one.txt": RIGHT})
    options(lab, mirrors=f"there=file://{mirror}".replace(" ", "%20"), offline="on")
    build(lab, "mirror://there/.")
    assert lab.installed() == {"one": RIGHT.strip()}
    assert (mirror / "one.txt").read_text() == RIGHT


def test_a_mirror_of_the_repository_s(lab: Lab, files: Path) -> None:
    """thirdpartymirrors (PMS 4.4.2); one that nobody knows is named."""
    write(files, {"a/one.txt": RIGHT})
    assert refused(lab, "mirror://there/a")[:3] == [
        "one.txt of lab/one-1 could not be fetched",
        "  SRC_URI has mirror://there/, and no repository knows a mirror of this name (thirdpartymirrors)",
        "Name one: [portage] mirrors = there=https://...",
    ]
    with serving(files) as (address, _):
        write(lab.tree, {"profiles/thirdpartymirrors": f"there http://127.0.0.1:{closed_port()} {address}\n"})
        lab.build()
    assert lab.installed() == {"one": RIGHT.strip()}


def test_mirrors_of_gentoo(lab: Lab, files: Path) -> None:
    """They come before upstream, but not for a package that forbids it."""
    pages = {"/distfiles/layout.conf": answer("404 Not Found"), "/distfiles/one.txt": resumable(RIGHT.encode())}
    with answering(pages) as (mirror, asked), serving(files) as (upstream, there):
        options(lab, gentoo_mirrors=mirror)
        write(files, {"one.txt": RIGHT})
        build(lab, upstream)
        assert ([each.target for each in asked], there) == (list(pages), [])
        (lab.image.distfiles / "one.txt").unlink()
        asked.clear()
        recipe(lab, f"{upstream}/one.txt", 'RESTRICT="mirror"')
        lab.build()
        assert (asked, there) == ([], ["/one.txt"])


def test_what_a_restricted_package_lets_be_fetched(lab: Lab, files: Path) -> None:
    """RESTRICT=fetch with one URI that is free (PMS 8.2.10): its other source has the ebuild say where it is."""
    write(files, {"one.txt": RIGHT, "two.txt": RIGHT})
    lines = 'RESTRICT="fetch"\npkg_nofetch() { einfo "Ask the vendor for two.txt"; }'
    with serving(files) as (address, asked):
        recipe(lab, f"fetch+{address}/one.txt", lines)
        lab.build()
        assert asked == ["/one.txt"]
        write(lab.tree, {"lab/one/Manifest": line("one.txt") + line("two.txt")})
        recipe(lab, f"fetch+{address}/one.txt {address}/two.txt", lines)
        said = refused(lab)
        assert asked == ["/one.txt"]
    assert said[:2] == ["the sources of lab/one-1 cannot be fetched automatically", "  Ask the vendor for two.txt"]


@pytest.mark.parametrize(
    "uris", ["http://127.0.0.1:9/x -> one.txt", "use? ( http://absent.invalid/no.txt ) {}/x -> one.txt"]
)
def test_names_and_conditions(lab: Lab, files: Path, uris: str) -> None:
    """What of SRC_URI counts is Portage's to say (PMS 7.3.2)."""
    write(files, {"x": RIGHT})
    with serving(files) as (address, _):
        recipe(lab, uris.replace("http://127.0.0.1:9", address).format(address), "IUSE=use")
        lab.build()
    assert lab.installed() == {"one": RIGHT.strip()}


def test_a_file_that_no_manifest_describes_is_not_fetched(lab: Lab, files: Path) -> None:
    write(files, {"one.txt": RIGHT})
    write(lab.tree, {"lab/one/Manifest": line("other.txt")})
    with serving(files) as (address, asked):
        assert refused(lab, address) == [
            "one.txt has no digest in the Manifest of lab/one-1",
            f"  {lab.tree}/lab/one/Manifest: it has no such line, or none with a digest that is known here",
            f"`ebuild {lab.tree}/lab/one/one-1.ebuild manifest` writes it.",
        ]
    assert asked == []


def test_offline(lab: Lab, files: Path) -> None:
    """Every missing file is named with its package, and nothing is built or asked for."""
    options(lab, offline="on")
    write(lab.tree, {"profiles/image/packages": "lab/one\nlab/two\n", "lab/two/Manifest": line("two.txt")})
    write(files, {"one.txt": RIGHT, "two.txt": RIGHT})
    with serving(files) as (address, asked):
        recipe(lab, f"{address}/two.txt", name="two")
        write(lab.image.distfiles, {"two.txt": OTHER})
        assert refused(lab, address) == [
            f"portage.offline = on, and these source files are not in {lab.image.distfiles}:",
            "  one.txt of lab/one-1",
            "  two.txt of lab/two-1 (the file there has 25 bytes; its Manifest says 23)",
            "Put them there, or have them fetched: QUERN_PORTAGE_OFFLINE=off",
        ]
        write(lab.image.distfiles, {"one.txt": RIGHT, "two.txt": RIGHT})
        lab.build()
    assert asked == []
    assert lab.installed() == {"one": RIGHT.strip(), "two": RIGHT.strip()}


def test_what_is_no_file_is_refused(lab: Lab) -> None:
    """It is not ours to remove."""
    recipe(lab, "http://absent.invalid/one.txt")
    prepared = source_build(lab.image)
    plan = prepared.plan(emerge.source_options(1, binhost=False), ["lab/one"])
    file, end = lab.image.distfiles / "one.txt", "; remove it, or put the file there"
    made: dict[str, Callable[[Path], object]] = {
        "a pipe": os.mkfifo,
        "a folder": os.mkdir,
        "a link to absent, which is not there": lambda path: path.symlink_to("absent"),
    }
    for kind, make in made.items():
        make(file)
        with pytest.raises(BuildError) as error:
            fetch_sources(prepared, plan, plan.packages)
        assert str(error.value) == f"{file}: expected a source file, got {kind}{end}"
        assert os.path.lexists(file)
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def test_sources_that_a_build_would_not_see(lab: Lab, tmp_path: Path) -> None:
    """Here the link leads to the file; in a build /tmp is empty, and the source would be said to be missing."""
    if reason := obstacle():
        pytest.skip(reason)
    write(tmp_path, {"elsewhere/one.txt": RIGHT})
    write(lab.image.distfiles, {"other.txt": RIGHT})
    link = lab.image.distfiles / "one.txt"
    link.symlink_to(tmp_path / "elsewhere/one.txt")
    with pytest.raises(BuildError, match=f"builds see nothing.*\n  {link} -> {tmp_path}/elsewhere/one.txt$"):
        build(lab, "http://absent.invalid")
    link.unlink()
    link.symlink_to("other.txt")
    lab.build()
    assert lab.installed()["one"] == RIGHT.strip()


@pytest.mark.parametrize("trick", ["preloaded", "sourced", "left", "nofetch"])
def test_no_line_of_a_stranger_s_has_the_network(lab: Lab, files: Path, tmp_path: Path, trick: str) -> None:
    """Not a library that a profile has every program load, not an ebuild that is sourced, nor one that is asked.

    Nor is one sourced again while quern fetches, because what it left running has removed its cached metadata.
    """
    if reason := obstacle():
        pytest.skip(reason)
    write(files, {"one.txt": RIGHT})
    with serving(files) as (address, asked):
        port = address.rpartition(":")[2]
        steal = f'( printf "GET /stolen HTTP/1.0\\r\\n\\r\\n" > /dev/tcp/127.0.0.1/{port} ) 2> /dev/null'
        if trick == "preloaded":
            write(lab.tree, {DEFAULTS: f'{TREE[DEFAULTS]}LD_PRELOAD="{thief(lab.tree, address)}"\n'})
            recipe(lab, f"{address}/one.txt")
            lab.build()
        elif trick in ("sourced", "left"):
            write(lab.tree, {"metadata/md5-cache/README": ""})
            cache = lab.image.work / "host/var/cache/edb/dep"
            gone = cache.with_name("gone")
            left = f'while /bin/sleep 0.05; do /bin/rm -rf "{cache}"/* && : > "{gone}"; done < /dev/null &> /dev/null &'
            recipe(lab, f"{address}/one.txt", f"{steal}\n{left}\ndisown" if trick == "left" else steal)
            lab.build()
            assert gone.exists() == (trick == "left")
        else:
            recipe(lab, "one.txt", f'RESTRICT="fetch"\npkg_nofetch() {{ {steal}; einfo "Ask for it"; }}')
            refused(lab)
    assert asked == (["/one.txt"] if trick != "nofetch" else [])


def test_a_phase_cannot_write_to_the_sources(lab: Lab) -> None:
    """Not where sources are fetched either: pkg_nofetch is a stranger's too."""
    if reason := obstacle():
        pytest.skip(reason)
    write(lab.tree, {"lab/one/Manifest": line("one.txt") + line("two.txt")})
    write(lab.image.distfiles, {"two.txt": RIGHT})
    lines = 'RESTRICT="fetch"\npkg_nofetch() { echo x > "${DISTDIR}/one.txt"; echo x >> "${DISTDIR}/two.txt"; }'
    recipe(lab, "one.txt two.txt", lines)
    refused(lab)
    assert {path.name: path.read_text() for path in lab.image.distfiles.iterdir()} == {"two.txt": RIGHT}
