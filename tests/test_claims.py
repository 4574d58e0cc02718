"""Who builds which package of a store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quern.portage import claims

CPV, KEY = "sys-libs/zlib-1.3.1", "ab" * 32
HOLD = """
import sys
from pathlib import Path
from quern.portage import claims

held = claims.claim(Path(sys.argv[1]), *sys.argv[2:])
print(bool(held), flush=True)
sys.stdin.read()
"""


def test_one_has_it_until_it_is_given_up(tmp_path: Path) -> None:
    """Another of the same key is refused, also in this process; of another key it is not."""
    held = claims.claim(tmp_path, CPV, KEY)
    assert held
    assert claims.claim(tmp_path, CPV, KEY) is None
    assert claims.holder(tmp_path, CPV, KEY).startswith(f"process {os.getpid()} on {os.uname().nodename}, since 2")
    other = claims.claim(tmp_path, CPV, "cd" * 32)
    assert other
    for each in (held, other):
        each.give_up()
    assert list((tmp_path / claims.FOLDER).iterdir()) == []
    again = claims.claim(tmp_path, CPV, KEY)
    assert again
    again.give_up()


def test_the_claim_of_one_who_was_killed_is_free(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path), CPV, KEY]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"True\n"
        assert claims.claim(tmp_path, CPV, KEY) is None
        assert claims.holder(tmp_path, CPV, KEY).startswith(f"process {process.pid} ")
        process.kill()
    held = claims.claim(tmp_path, CPV, KEY)
    assert held
    assert claims.holder(tmp_path, CPV, KEY).startswith(f"process {os.getpid()} ")


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / claims.FOLDER).mkdir()
    (tmp_path / "mine").write_text("kept\n")
    held = claims.claim(tmp_path, CPV, KEY)
    assert held
    (path,) = (tmp_path / claims.FOLDER).iterdir()
    held.give_up()
    path.symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match=str(path)):
        claims.claim(tmp_path, CPV, KEY)
    assert (tmp_path / "mine").read_text() == "kept\n"
