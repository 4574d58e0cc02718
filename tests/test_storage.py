from __future__ import annotations

from pathlib import Path

import pytest

from quern.config.settings import Storage
from quern.drivers import storage
from quern.steps import names

EIGHT = Storage(size=8 << 30)


def test_each_work_folder_has_its_own() -> None:
    """In a volume that several projects use, and whatever their images are called."""
    folders = {
        storage.folder_of(Storage("mine"), Path(path)) for path in ("/a/build/one", "/b/build/one", "/a/build/two")
    }
    assert len(folders) == 3
    assert all(folder.startswith("/quern/scratch/") for folder in folders)
    assert storage.folder_of(EIGHT, Path("/a/build/one")) == names.TMP


def test_mounted() -> None:
    assert (storage.mounts(Storage()), storage.options(Storage())) == ([], {})
    assert storage.options(Storage(size=1 << 20)) == {"tmpfs": {names.TMP: "size=1048576,mode=0755,exec"}}
    (volume,) = storage.mounts(Storage(volume="mine"))
    assert (volume["Target"], volume["Source"], volume["Type"]) == ("/quern/scratch", "mine", "volume")


@pytest.mark.parametrize(
    ("where", "text"), [(Storage("mine"), "volume:mine"), (EIGHT, "tmpfs:8192m"), (Storage(size=4097), "tmpfs:4097")]
)
def test_said_as_configured(where: Storage, text: str) -> None:
    assert storage.text(where) == text


def test_room_that_may_have_lacked() -> None:
    output = "cp: error writing 'x': No space left on device\n"
    assert "docker.workdir_storage = tmpfs:8192m" in storage.lacking_room(EIGHT, output)
    assert storage.lacking_room(Storage(), output) == ""
    assert storage.lacking_room(EIGHT, "cp: no such file\n") == ""
