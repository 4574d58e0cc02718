"""Checkpoints: on small trees, and in a root that emerge installs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from quern.drivers.raw import RawDriver
from quern.errors import DriverError
from quern.steps.base import Run, clean_step, key_of, run_step
from quern.steps.chain import steps_of
from quern.steps.checkpoints import NEW, Checkpoints, chain
from tests.conftest import tool
from tests.projects import Said, run, write
from tests.test_emerging import TREE as TREE_OF_LAB
from tests.test_emerging import Lab, ebuild
from tests.trees import make_tree

KEYS = ["1" * 32, "2" * 32]


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def checkpoints(tmp_path: Path, said: Said) -> Checkpoints:
    """Two copies, of a tree and of the same tree with one file more; the tree stands in `root`."""
    (tmp_path / "work").mkdir()
    made = Checkpoints(tmp_path / "work/checkpoints", KEYS, run(said))
    make_tree(tmp_path / "root")
    for key in KEYS:
        write(tmp_path / "root", {key: "more"})
        made.keep(key, tmp_path / "root")
    return made


def restored(checkpoints: Checkpoints, target: Path) -> set[str]:
    """Which of KEYS are in what is restored."""
    target.mkdir()
    key = checkpoints.restore(target, target.with_name("aside"))
    found = {path.name for path in target.iterdir()} & set(KEYS)
    assert max(found, default=None) == key
    return found


def test_the_last_one_is_taken_and_stays(checkpoints: Checkpoints, tmp_path: Path) -> None:
    assert restored(checkpoints, tmp_path / "one") == set(KEYS)
    write(tmp_path / "one", {KEYS[0]: "written in place"})
    assert (checkpoints.folder / KEYS[1] / KEYS[0]).read_text() == "more"
    only_first = checkpoints._replace(keys=[KEYS[0], "3" * 32])
    (tmp_path / "aside").rmdir()
    assert restored(only_first, tmp_path / "two") == {KEYS[0]}


def test_what_they_take_is_said(checkpoints: Checkpoints, said: Said) -> None:
    checkpoints.finish()
    (line,) = said.lines
    match = re.fullmatch(rf"Checkpoints: 2, (\d+\.\d) MB in {re.escape(str(checkpoints.folder))}", line)
    assert match
    found = (path.lstat() for path in checkpoints.folder.rglob("*"))
    taken = {status.st_ino: status.st_blocks * 512 for status in found}  # hard links are one file
    assert float(match[1]) == pytest.approx(sum(taken.values()) / 1e6, abs=0.1)


def put(folder: Path, key: str, **other: object) -> None:
    record = folder / f"{key}.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), **other}))


def killed_while_copying(folder: Path, key: str) -> None:
    (folder / f"{key}.json").unlink()
    (folder / key).rename(folder / NEW)


DAMAGES: Mapping[str, Callable[[Path, str], object]] = {
    "killed before the record": lambda folder, key: (folder / f"{key}.json").unlink(),
    "killed while copying": killed_while_copying,
    "no copy": lambda folder, key: (folder / key).rename(folder / "elsewhere"),
    "a record cut short": lambda folder, key: (folder / f"{key}.json").write_text('{"digest": "sha'),
    "a record of something else": lambda folder, key: (folder / f"{key}.json").write_text("[1]"),
    "a foreign copy": lambda folder, key: put(folder, key, digest="sha256:0"),
    "an altered file": lambda folder, key: (folder / key / KEYS[0]).write_text("less"),
    "a file too many": lambda folder, key: (folder / key / "new").touch(),
    "a file lost": lambda folder, key: (folder / key / KEYS[1]).unlink(),
    "another mode": lambda folder, key: (folder / key / KEYS[0]).chmod(0o600),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_whole_is_never_used(checkpoints: Checkpoints, tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](checkpoints.folder, KEYS[1])
    assert restored(checkpoints, tmp_path / "target") == {KEYS[0]}
    checkpoints.finish()
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == [KEYS[0], f"{KEYS[0]}.json"]


def test_a_record_that_comes_last(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """Another copy under the same name is not vouched for by the record of the former one."""
    checkpoints._replace(keys=KEYS[:1]).prune()
    assert restored(checkpoints, tmp_path / "target") == {KEYS[0]}


def test_others_go_when_one_is_made(checkpoints: Checkpoints, tmp_path: Path) -> None:
    other = checkpoints._replace(keys=[KEYS[0], "3" * 32])
    other.keep("3" * 32, tmp_path / "root")
    other.keep("4" * 32, tmp_path / "root")  # beyond the number to be kept
    assert {path.stem for path in checkpoints.folder.iterdir()} == {KEYS[0], "3" * 32}
    checkpoints._replace(keys=[]).finish()
    assert not checkpoints.folder.exists()


class Full(RawDriver):
    """A disk that is full when half of a tree is copied."""

    def call(self, verb: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401 (what a verb takes)
        if verb == "copy":
            write(Path(params["target"]), {"half": ""})
            raise DriverError(f"{params['target']}/x: No space left on device")
        return super().call(verb, **params)


def test_a_full_disk_costs_the_checkpoint_alone(checkpoints: Checkpoints, tmp_path: Path, said: Said) -> None:
    full = checkpoints._replace(run=Run(Full(), said))
    full._replace(keys=["3" * 32]).keep("3" * 32, tmp_path / "root")
    assert said.lines == [f"Warning: no checkpoint was kept: {checkpoints.folder / NEW}/x: No space left on device"]
    assert not any(checkpoints.folder.iterdir())
    write(checkpoints.folder.parent, {"other": ""})
    in_the_way = full._replace(folder=checkpoints.folder.parent / "other", keys=["3" * 32])
    in_the_way.keep("3" * 32, tmp_path / "root")
    assert said.lines[1].startswith("Warning: no checkpoint was kept: ")


def test_a_root_that_cannot_be_filled_is_left_as_it_was(checkpoints: Checkpoints, tmp_path: Path, said: Said) -> None:
    assert restored(checkpoints._replace(run=Run(Full(), said)), tmp_path / "target") == set()
    assert list((tmp_path / "target").iterdir()) == []
    assert not (tmp_path / "aside").exists()


def test_keys_are_of_all_that_came_before() -> None:
    one, two, three = chain({"x": 1}, [["a"], ["b"], ["c"]])
    assert chain({"x": 1}, [["a"], ["b"], ["d"]])[:2] == [one, two]
    for other in (chain({"x": 2}, [["a"], ["b"]]), chain({"x": 1}, [["z"], ["b"]]), chain({"x": 1}, [["a", "b"], []])):
        assert not {one, two, three} & set(other)


APPENDS = 'pkg_postinst() {{\n\techo {line} >> "${{EROOT}}/etc/lab.conf" || die\n}}'


def package(needs: str = "", line: str = "", body: str = ":") -> str:
    """An ebuild; `line` is what it adds to a file of lab/config when it has been merged."""
    lines = f'RDEPEND="{needs}"\n' + (APPENDS.format(line=line) if line else "")
    return ebuild(lines, body)


TREE = {
    "profiles/image/packages": "lab/config\nlab/tool\nlab/top\n",
    "lab/config/config-1.ebuild": package(body="insinto /etc; echo config > lab.conf; doins lab.conf"),
    "lab/base/base-1.ebuild": package(),
    "lab/leaf/leaf-1.ebuild": package("lab/base", "leaf"),
    "lab/other/other-1.ebuild": package(),
    "lab/tool/tool-1.ebuild": package("lab/config lab/base", "tool"),
    "lab/top/top-1.ebuild": package("lab/config lab/leaf lab/other", "top"),
}


LAST, OWN, FIRST = "lab/top/top-1.ebuild", "lab/tool/tool-1.ebuild", "lab/base/base-1.ebuild"
GROUPS = [["base", "config", "leaf", "other"], ["tool"], ["top"]]


class Roots(Lab):
    """An image of six packages: four that others need, lab/tool, lab/top; `said` is what its root step says."""

    def __init__(self, folder: Path, store: Path) -> None:
        super().__init__(folder)
        write(self.tree, TREE)
        text = (self.folder / "lab.conf").read_text()
        write(self.folder, {"lab.conf": text.replace("[build]", f"binpkg = {store}\n[build]")})
        self.keep(2)

    @property
    def folder_of_copies(self) -> Path:
        return self.folder / "work/checkpoints"

    def keep(self, number: int) -> None:
        text = (self.folder / "lab.conf").read_text().split("checkpoints")[0]
        write(self.folder, {"lab.conf": f"{text}checkpoints = {number}\n"})

    def make(self, files: Mapping[str, str] | None = None) -> list[list[str]]:
        """Make the root anew after writing `files`; what each run of emerge has merged, sorted."""
        write(self.tree, files or {})
        (self.folder / "work/root.json").unlink(missing_ok=True)
        for step in steps_of(self.image)[:3]:
            said = Said()
            run_step(step, run(said))
        self.said = said.lines
        runs = "\n".join(self.said).split("Calling PORTAGE_CONFIGROOT")[1:]
        return [sorted(re.findall(r">>> Installing \(.*\) lab/(\w+)-", text)) for text in runs]

    def digest(self) -> str:
        return (self.folder / "work/root.digest").read_text()

    def fresh(self) -> str:
        """The digest of the same root made with no checkpoints, which are then as they were."""
        copies = self.folder_of_copies.rename(self.folder / "aside")
        self.keep(0)
        assert self.make()[0] == GROUPS[0]
        self.keep(2)
        copies.rename(self.folder_of_copies)
        return self.digest()

    def configuration(self, root: str = "root/image") -> list[str]:
        """The lines of the file that several packages write to."""
        return (self.folder / "work" / root / "etc/lab.conf").read_text().split()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The binary packages of all these images: what none has changed is built once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def lab(tmp_path: Path, store: Path) -> Roots:
    """An image that is not built yet."""
    tool("scanelf", "pax-utils")
    return Roots(tmp_path, store)


@pytest.mark.emerge
def test_a_root_begins_where_the_change_is(lab: Roots) -> None:
    assert lab.make() == GROUPS
    assert lab.said[-1].startswith("Checkpoints: 2, ")
    assert lab.configuration() == ["config", "leaf", "tool", "top"]

    assert lab.make({LAST: package("lab/config lab/leaf lab/other", "more")}) == GROUPS[2:]
    assert "Starting from the checkpoint with 5 of 6 packages" in lab.said
    assert lab.configuration() == ["config", "leaf", "tool", "more"]
    assert lab.digest() == lab.fresh()

    assert lab.make({OWN: package("lab/config lab/base", "another"), LAST: TREE[LAST]}) == GROUPS[1:]
    assert "Starting from the checkpoint with 4 of 6 packages" in lab.said
    assert lab.configuration() == ["config", "leaf", "another", "top"]
    assert lab.digest() == lab.fresh()

    assert lab.make({FIRST: package(body='echo more >> "${ED}/usr/share/lab/base"'), OWN: TREE[OWN]}) == GROUPS
    assert not any(line.startswith("Starting") for line in lab.said)
    # what ebuilds have written in place is not in what they began with
    copies = {tuple(lab.configuration(f"checkpoints/{path.stem}")) for path in lab.folder_of_copies.glob("*.json")}
    assert copies == {("config", "leaf"), ("config", "leaf", "tool")}
    assert sorted(path.suffix for path in lab.folder_of_copies.iterdir()) == ["", "", ".json", ".json"]


@pytest.mark.emerge
def test_a_package_taken_away_leaves_nothing(lab: Roots) -> None:
    lab.make()
    assert lab.make({"profiles/image/packages": "lab/config\nlab/top\n"}) == GROUPS[2:]
    assert "Starting from the checkpoint with 4 of 5 packages" in lab.said
    assert lab.configuration() == ["config", "leaf", "top"]
    assert "tool" not in lab.installed()
    assert lab.said[-1].startswith("Checkpoints: 1, ")
    assert lab.digest() == lab.fresh()


@pytest.mark.emerge
def test_a_damaged_checkpoint_is_made_again(lab: Roots) -> None:
    lab.make()
    digest = lab.digest()
    for path in lab.folder_of_copies.glob("*/etc/lab.conf"):
        path.write_text("damaged\n")
    assert lab.make() == GROUPS
    assert sum(line.startswith("Warning: the checkpoint ") for line in lab.said) == 2
    assert lab.digest() == digest
    assert lab.make() == GROUPS[2:]


@pytest.mark.emerge
def test_the_profile_counts_where_packages_are_merged(lab: Roots) -> None:
    lab.make()
    defaults = TREE_OF_LAB["profiles/image/make.defaults"]
    assert lab.make({"profiles/image/make.defaults": defaults + 'USE="nothing"\n'}) == GROUPS[2:]
    assert lab.make({"profiles/image/make.defaults": defaults + 'INSTALL_MASK="/usr/share/man"\n'}) == GROUPS
    assert lab.make({"profiles/image/make.defaults": defaults + 'CONFIG_PROTECT="/usr"\n'}) == GROUPS


@pytest.mark.emerge
def test_as_many_are_kept_as_are_asked_for(lab: Roots) -> None:
    lab.keep(1)
    assert lab.make() == GROUPS
    assert lab.said[-1].startswith("Checkpoints: 1, ")
    step = steps_of(lab.image)[2]
    key = key_of(step.inputs(), step)
    assert lab.make() == GROUPS[2:]
    lab.keep(0)
    assert lab.make() == GROUPS
    assert not any(line.startswith("Checkpoints") for line in lab.said)
    assert not lab.folder_of_copies.exists()
    step = steps_of(lab.image)[2]
    assert key_of(step.inputs(), step) == key


@pytest.mark.emerge
def test_clean_removes_them(lab: Roots) -> None:
    lab.make()
    step = steps_of(lab.image)[2]
    assert lab.folder_of_copies in clean_step(step, run(), dry=True)
    clean_step(step, run(), dry=False)
    assert not lab.folder_of_copies.exists()
