from __future__ import annotations

import contextlib
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from doit.control import TaskControl
from doit.exceptions import InvalidDodoFile
from doit.loader import load_tasks

from quern.steps.chain import STEPS
from quern.tasks import DOIT_CONFIG, project_tasks
from tests.building import CHECKOUT, Project, snapshot
from tests.projects import write

NAMES = ["portage", "packages", "root", "strip", "tarball", "image"]
TASKS = [*NAMES, "test"]
ASKED = ["binhost", "diff", "explain", "lock", "sbom", "shell", "size", "try", "verify", "why"]
CHORES = ["prune"]

TREE = {  # a repository whose one package installs nothing
    "tree/metadata/layout.conf": "masters =\nthin-manifests = true\n",
    "tree/profiles/repo_name": "tree\n",
    "tree/profiles/categories": "app-misc\n",
    "tree/profiles/arch.list": "amd64\n",
    "tree/profiles/base/make.defaults": 'ARCH="amd64"\nACCEPT_KEYWORDS="amd64"\n',
    "tree/app-misc/one/one-1.ebuild": 'EAPI=8\nSLOT="0"\nKEYWORDS="amd64"\nS="${WORKDIR}"\n',
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of two images."""
    files = {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"}
    for name in ("hello", "musl-python3"):
        files[f"profiles/{name}/quern.conf"] = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
        files[f"profiles/{name}/packages"] = "app-misc/one\n"
        files[f"profiles/{name}/parent"] = "tree:base\n"
    return Project(write(tmp_path / "project", {**files, **TREE}))


def graph(project: Project) -> TaskControl:
    """The tasks as doit sees them once it has read the dodo.py, ready to be dispatched."""

    def task_images() -> Iterator[dict[str, Any]]:
        return project_tasks(str(project.folder / "dodo.py"))

    control = TaskControl(load_tasks({"task_images": task_images}))
    control.process(None)
    return control


def test_one_group_a_step_or_question_and_one_task_an_image(project: Project) -> None:
    assert list(graph(project).tasks) == [
        *(TASKS + ASKED),
        *(f"{name}:{image}" for names in (TASKS, ASKED) for image in ("hello", "musl-python3") for name in names),
        *CHORES,
    ]


def test_steps_have_names_and_docs() -> None:
    assert [step.name for step in STEPS] == NAMES
    assert all(step.doc == step.doc.strip(" .") and "\n" not in step.doc for step in STEPS)


def test_list_names_the_images(project: Project) -> None:
    lines = project.doit("list").splitlines()
    assert [line.split()[0] for line in lines] == TASKS + ASKED + CHORES
    assert all(line.endswith(" hello, musl-python3") for line in lines)
    assert lines[0] == "portage    configure Portage for hello, musl-python3"


def test_list_names_a_few_of_many_images(project: Project) -> None:
    for number in range(8):
        write(project.folder, {f"profiles/one{number}/quern.conf": ""})
    line = project.doit("list").splitlines()[0]
    assert line == "portage    configure Portage for hello, musl-python3, one0, one1, 6 more"


def test_list_all(project: Project) -> None:
    names = [line.split()[0] for line in project.doit("list", "--all").splitlines()]
    assert {f"{name}:{image}" for name in TASKS + ASKED for image in ("hello", "musl-python3")} <= set(names)


def test_list_writes_nothing_and_asks_no_daemon(project: Project, tmp_path: Path) -> None:
    hooked = tmp_path / "sitecustomize.py"  # ends a Python that opens a socket or starts a program
    hooked.write_text(
        "import os, sys\n"
        "def hook(event, arguments):\n"
        "    if event.startswith(('socket.', 'subprocess.', 'os.system', 'os.exec', 'os.posix_spawn', 'os.fork')):\n"
        "        os.write(2, event.encode()); os._exit(99)\n"
        "sys.addaudithook(hook)\n"
    )
    variables = {"PYTHONPATH": f"{tmp_path}:{CHECKOUT}", "PYTHONDONTWRITEBYTECODE": "1"}
    before = snapshot(project.folder)
    for command in (["list"], ["list", "--all"], ["list", "--all", "--status"], ["list", "--deps", "image:hello"]):
        project.doit(*command, variables=variables)
    assert snapshot(project.folder) == before


def test_the_default_is_every_image(project: Project) -> None:
    assert DOIT_CONFIG["default_tasks"] == ["image"]
    control = graph(project)
    assert control.tasks["image"].task_dep == ["image:hello", "image:musl-python3"]


def test_an_image_is_not_made_by_its_tests(project: Project) -> None:
    tasks = graph(project).tasks
    assert tasks["test:hello"].task_dep == ["image:hello"]
    assert not [name for name, task in tasks.items() if "test:hello" in task.task_dep and name != "test"]


@pytest.mark.parametrize("name", ["hello", "musl-python3"])
def test_each_step_depends_on_the_one_before(project: Project, name: str) -> None:
    tasks = graph(project).tasks
    for former, step in pairwise(NAMES):
        digest = str(project.folder / f"build/{name}/{former}.digest")
        assert tasks[f"{step}:{name}"].file_dep == {digest}
        assert digest in tasks[f"{former}:{name}"].targets
        assert tasks[f"{step}:{name}"].task_dep == [f"{former}:{name}"]


def test_order(project: Project) -> None:
    control = graph(project)
    control.process(["image:hello"])
    generator, order = control.task_dispatcher().generator, []
    node = next(generator)
    with contextlib.suppress(StopIteration):
        while True:
            order.append(node.task.name)
            node.run_status = "successful"
            node = generator.send(node)
    assert order == [f"{step}:hello" for step in NAMES]


def test_first_step_watches_the_profile(project: Project) -> None:
    folder = project.folder / "profiles/hello"
    (folder / "package.use").mkdir()
    write(folder, {"package.use/mine": "app-misc/one x\n"})
    found = graph(project).tasks["portage:hello"].file_dep
    assert found == {str(folder / name) for name in ("packages", "parent")}  # not folders, which doit cannot digest


def test_targets_are_the_output_and_its_records(project: Project) -> None:
    work = project.folder / "build/hello"
    assert graph(project).tasks["strip:hello"].targets == [
        str(work / name) for name in ("strip", "strip.digest", "strip.json")
    ]


def test_images_share_no_target(project: Project) -> None:
    targets = [target for task in graph(project).tasks.values() for target in task.targets]
    assert len(targets) == len(set(targets)) == 2 * (3 * len(TASKS) + 5)  # and what `binhost`, `sbom` and `size` write


def test_every_action_can_be_sent_to_another_process(project: Project) -> None:
    for task in project_tasks(str(project.folder / "dodo.py")):
        if "actions" not in task:
            continue
        ((function, (image, what)),) = task["actions"]
        ((again, (image_again, what_again)),) = pickle.loads(pickle.dumps(task))["actions"]
        assert (again, image_again, type(what_again)) == (function, image, type(what))
        assert what_again == what or vars(what_again) == vars(what)


def test_making_tasks_reads_no_repository(project: Project) -> None:
    project.edit("profiles/hello/quern.conf", "./tree", "/nowhere")
    assert len(list(project_tasks(str(project.folder / "dodo.py")))) == 3 * len(TASKS + ASKED) + len(CHORES)


def test_configuration_error_is_one_line(project: Project) -> None:
    project.edit("profiles/hello/quern.conf", "engines", "engins")
    for command in (["list"], ["image:hello"], ["clean"], ["info", "image:hello"]):
        output = project.doit(*command, status=3)
        assert output == (
            "ERROR: profiles/hello/quern.conf:4: postbuild.engins: unknown option; did you mean postbuild.engines?\n"
        ), command


def test_error_in_the_environment_is_one_line(project: Project) -> None:
    output = project.doit("list", status=3, variables={"QUERN_EMERGE_JOBS": "many"})
    assert output == "ERROR: QUERN_EMERGE_JOBS: emerge.jobs: expected an integer, got 'many'\n"


def test_no_image(tmp_path: Path) -> None:
    with pytest.raises(InvalidDodoFile, match="no such folder; an image is a folder profiles/NAME/"):
        list(project_tasks(str(tmp_path / "dodo.py")))
    (tmp_path / "profiles").mkdir()
    with pytest.raises(InvalidDodoFile, match="no image here; an image is a folder profiles/NAME/"):
        list(project_tasks(str(tmp_path / "dodo.py")))


def test_error_of_a_step_is_its_message(project: Project) -> None:
    project.edit("profiles/hello/parent", "tree:base", "tree:bose")
    output = project.doit("image:hello", status=1)
    assert "profiles/hello/parent:1: there is no profile tree:bose; did you mean tree:base?" in output
    assert "Traceback" not in output
    assert output.count("TaskFailed") == 1


def test_error_of_a_step_does_not_disturb_other_commands(project: Project) -> None:
    project.edit("profiles/hello/parent", "tree:base", "tree:bose")
    assert "portage:hello" in project.doit("list", "--all", "--status")
    assert "portage:hello" in project.doit("info", "portage:hello", status=1)


def test_first_step_runs_once_then_follows_edits(project: Project) -> None:
    assert project.doit("portage:hello").startswith(".  portage:hello\n   hello: Successfully loaded configuration")
    assert project.doit("portage:hello") == "-- portage:hello\n"
    project.edit("profiles/hello/packages", "one", "one:0")
    assert project.doit("portage:hello").startswith(".  portage:hello\n")
    assert project.doit("portage:musl-python3").startswith(".  portage:musl-python3\n")


def test_database_lost_or_forgotten(project: Project) -> None:
    project.doit("portage:hello")
    before = snapshot(project.folder / "build/hello/portage")
    project.doit("forget", "portage:hello")
    assert project.doit("portage:hello") == ".  portage:hello\n"
    assert snapshot(project.folder / "build/hello/portage") == before
    (project.folder / ".doit.db").unlink()
    assert project.doit("portage:hello") == ".  portage:hello\n"


@pytest.mark.parametrize("damage", ["", '{"portage:hello": {"_val', "[]", "null"])
def test_database_damaged(project: Project, damage: str) -> None:
    """As by a kill while doit writes it, in place."""
    project.doit("portage:hello")
    (project.folder / ".doit.db").write_text(damage)
    assert project.doit("portage:hello") == ".  portage:hello\n"
    assert project.doit("portage:hello") == "-- portage:hello\n"


@pytest.mark.parametrize("task", ["portage:hello", "explain:hello"])
def test_database_that_cannot_be_written(project: Project, task: str) -> None:
    """As on a full disk or in a read-only folder: one line, and nothing is lost."""
    output = project.doit("--db-file", "/proc/doit.db", task, status=3)
    (line,) = [line for line in output.splitlines() if "doit.db" in line]
    assert re.fullmatch(
        r"ERROR: /proc/doit\.db: cannot be written: .+; what was built is kept, and the next run finds it", line
    )
    assert "Traceback" not in output
    assert ("is finished" in project.doit("portage:hello")) == (task == "explain:hello")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_database_that_cannot_be_read(project: Project, make: Callable[[Path], None]) -> None:
    make(project.folder / ".doit.db")
    for task in ("list", "portage:hello"):
        assert project.doit(task, status=3) == (
            "ERROR: .doit.db: expected a file that can be read, "
            "where doit keeps what it knows of earlier runs; remove it\n"
        )


def test_back_to_the_former_profile_builds_it_again(project: Project) -> None:
    """doit's saved values know the former state as done; the output on disk is another one."""
    packages = project.folder / "build/hello/portage/overlay/profiles/hello/packages"
    project.doit("portage:hello")
    saved = (project.folder / ".doit.db").read_bytes()
    project.edit("profiles/hello/packages", "one", "two")
    project.doit("portage:hello")
    (project.folder / ".doit.db").write_bytes(saved)  # as after a kill: written at the end of a run only
    project.edit("profiles/hello/packages", "two", "one")
    assert project.doit("portage:hello").startswith(".  portage:hello\n   hello:")
    assert packages.read_text() == "app-misc/one\n"


def test_two_processes(project: Project) -> None:
    output = project.doit("-n", "2", "portage")
    assert {".  portage:hello", ".  portage:musl-python3"} <= set(output.splitlines())
    assert sorted(project.doit("-n", "2", "portage").splitlines()) == ["-- portage:hello", "-- portage:musl-python3"]


def test_clean(project: Project) -> None:
    before = set(snapshot(project.folder))
    project.doit("portage")
    with_output = snapshot(project.folder / "build")
    output = project.doit("clean", "--dry-run", "portage:hello")
    assert snapshot(project.folder / "build") == with_output
    assert f"portage:hello - removing {project.folder / 'build/hello/portage'}" in output.splitlines()
    assert project.doit("clean", "portage:hello") == output
    assert not (project.folder / "build/hello").exists()
    assert (project.folder / "build/musl-python3/portage").exists()
    project.doit("clean", "--clean-all")
    made = {path for path in set(snapshot(project.folder)) - before if "__pycache__" not in path}
    assert made <= {str(project.folder / "build"), str(project.folder / ".doit.db")}


def test_docker_driver_without_a_builder_is_one_clear_error(project: Project) -> None:
    project.edit("profiles/hello/quern.conf", "[postbuild]", "[build]\ndriver = docker\n[postbuild]")
    assert "build.driver = docker needs `[docker] image`" in project.doit("portage:hello", status=1)
    remote = {"QUERN_DOCKER_IMAGE": "builder", "DOCKER_HOST": "tcp://192.0.2.1:2375"}
    output = project.doit("portage:hello", status=1, variables=remote)
    assert "needs a daemon on this machine, with a Unix socket; docker.daemon is tcp://192.0.2.1:2375" in output
    absent = {"QUERN_DOCKER_IMAGE": "builder", "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    output = project.doit("packages:hello", status=1, variables=absent)
    assert "no docker daemon at unix:///nowhere/docker.sock: No such file or directory" in output


def test_import_is_light() -> None:
    """A run with nothing to do costs what doit costs; what only a build needs is imported there."""
    heavy = {"subprocess", "tempfile", "tarfile", "http.client", "socket", "shutil", "docker", "portage", "requests"}
    heavy |= {"rich", "quern.live"}
    code = "import sys, doit.doit_cmd; bare = set(sys.modules); import quern.tasks; print(*set(sys.modules) - bare)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env={**os.environ}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert heavy.isdisjoint(ran.stdout.split())
