"""The strip step, on a root that wants to be escaped from."""

from __future__ import annotations

from pathlib import Path

import pytest

from quern.errors import BuildError, ConfigError
from quern.steps.base import run_step
from quern.steps.strip import StripStep
from tests.projects import Said, image_of, run, write


class Stripped:
    """An image with a finished root, beside what nobody may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write(folder, {"precious/file": "mine", "work/root.digest": "sha256:0\n"})
        self.root = write(folder / "work/root/image", {"usr/lib/a": "", "usr/share/doc/b": "", "etc/c": ""})
        links = {"abs": str(folder / "precious"), "up": "../../../precious", "lib": "usr/lib", "loop": "loop"}
        for name, target in links.items():
            (self.root / name).symlink_to(target)
        self.said: list[str] = []

    def __call__(self, paths: str) -> set[str]:
        """Strip `paths`; give the files that are left."""
        write(self.folder, {"lab.conf": f"[strip]\npaths = {paths}\n"})
        said = Said()
        image = image_of(self.folder / "lab.conf", self.folder / "work")
        run_step(StripStep(image.work, True, image), run(said))
        self.said = said.lines
        assert (self.folder / "precious/file").read_text() == "mine"
        assert (self.root / "usr/lib/a").exists()
        found = self.folder / "work/strip/image"
        return {str(path.relative_to(found)) for path in found.rglob("*") if path.is_symlink() or path.is_file()}


@pytest.fixture
def strip(tmp_path: Path) -> Stripped:
    """The step, not run yet."""
    return Stripped(tmp_path)


ALL = {"usr/lib/a", "usr/share/doc/b", "etc/c", "abs", "up", "lib", "loop"}


@pytest.mark.parametrize(
    ("paths", "gone"),
    [
        ("/usr/share/doc", {"usr/share/doc/b"}),
        ("/lib/*", {"usr/lib/a"}),
        ("/abs, /up", {"abs", "up"}),
    ],
)
def test_what_goes(strip: Stripped, paths: str, gone: set[str]) -> None:
    assert strip(paths) == ALL - gone


@pytest.mark.parametrize("path", ["/*", "/**", "/**/**/*"])
def test_everything(strip: Stripped, path: str) -> None:
    with pytest.raises(BuildError, match=r"^strip\.paths: /\S+: nothing is left of the image$"):
        strip(path)
    assert (strip.folder / "precious/file").read_text() == "mine"
    assert (strip.root / "usr/lib/a").exists()


@pytest.mark.parametrize("path", ["/abs/file", "/abs/*", "/up/file", "/up/**", "/loop/x", "/nothing*"])
def test_what_is_not_in_the_image(strip: Stripped, path: str) -> None:
    assert strip(path) == ALL
    assert f"Warning: strip.paths: {path} matches nothing in the image" in strip.said


@pytest.mark.parametrize("path", ["/usr/../../precious", "/..", "../precious", "/", "/usr\x1b[2J"])
def test_what_is_refused_before_anything_is_done(strip: Stripped, path: str) -> None:
    with pytest.raises(ConfigError, match=r"lab\.conf:2: "):
        strip(path)
