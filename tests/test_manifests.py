"""Sources are what a Manifest says they are, whatever a profile, a repository or an ebuild says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from quern.errors import QuernError
from tests.conftest import tool
from tests.projects import write
from tests.test_emerging import TREE, Lab, ebuild

pytestmark = pytest.mark.emerge

LAYOUT, DEFAULTS = "metadata/layout.conf", "profiles/image/make.defaults"
SOURCE = 'SRC_URI="https://quern.invalid/source.txt"'
INSTALLS = 'cp "${DISTDIR}/source.txt" "${ED}/usr/share/lab/source" || die'


def line(content: bytes) -> str:
    return f"DIST source.txt {len(content)} SHA512 {hashlib.sha512(content).hexdigest()}\n"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image that is not built yet."""
    tool("scanelf", "pax-utils")
    return Lab(tmp_path)


@pytest.fixture
def forged(lab: Lab) -> Lab:
    """An image of one package, with a source that its Manifest does not describe."""
    write(lab.tree, {"profiles/image/packages": "lab/top\n", "lab/top/top-1.ebuild": ebuild(SOURCE, INSTALLS)})
    write(lab.tree, {"lab/top/Manifest": line(b"good")})
    write(lab.folder, {"distfiles/source.txt": "evil"})
    return lab


def refusal(lab: Lab) -> str:
    with pytest.raises(QuernError) as error:
        lab.build()
    assert not (lab.folder / "work/packages").exists()
    assert not list((lab.folder / "binpkgs").rglob("*.tar"))
    return str(error.value)


def test_a_variable_that_profiles_cannot_set(forged: Lab) -> None:
    write(forged.tree, {DEFAULTS: TREE[DEFAULTS] + "EBUILD_SKIP_MANIFEST=1\n"})
    assert "source.txt" in refusal(forged)


@pytest.mark.parametrize(
    "features", ["-strict", "digest", "assume-digests force skiprocheck -strict digest", "allow-missing-manifests"]
)
def test_features_of_a_profile(forged: Lab, features: str) -> None:
    write(forged.tree, {DEFAULTS: TREE[DEFAULTS] + f'FEATURES="{features}"\n'})
    assert "source.txt" in refusal(forged)
    assert (forged.tree / "lab/top/Manifest").read_text() == line(b"good")


@pytest.mark.parametrize("where", [DEFAULTS, "profiles/make.defaults"])
@pytest.mark.parametrize(
    "setting",
    ['PORTAGE_CHECKSUM_FILTER="-*"', 'FETCHCOMMAND_HTTPS="cp /etc/passwd ${DISTDIR}/${FILE}"'],
)
def test_variables_of_a_profile(forged: Lab, setting: str, where: str) -> None:
    write(forged.tree, {where: TREE.get(where, "") + f"{setting}\n"})
    assert refusal(forged).endswith(
        f"a profile sets {setting.partition('=')[0]}, which is not a profile's to set: take it out"
    )


def test_what_an_ebuild_says_of_itself(forged: Lab) -> None:
    lines = f'{SOURCE}\nFEATURES="-strict"; export EBUILD_SKIP_MANIFEST=1 PORTAGE_CHECKSUM_FILTER="-*"'
    write(forged.tree, {"lab/top/top-1.ebuild": ebuild(lines, INSTALLS)})
    assert "source.txt" in refusal(forged)


@pytest.mark.parametrize("policy", ["true", "false"])
def test_a_repository_that_wants_no_manifests(forged: Lab, policy: str) -> None:
    write(forged.tree, {LAYOUT: TREE[LAYOUT] + f"use-manifests = {policy}\n"})
    for manifest in (line(b"good"), line(b"evil")):  # nor would it be looked at
        write(forged.tree, {"lab/top/Manifest": manifest})
        said = r"^lab/top-1: \S+/metadata/layout\.conf: its use-manifests has nobody check sources; take it out$"
        assert re.match(said, refusal(forged))
    write(forged.tree, {"lab/top/top-1.ebuild": ebuild()})  # no sources
    forged.build()


def test_what_the_user_has_set(forged: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FEATURES": "-strict digest",
        "EBUILD_SKIP_MANIFEST": "1",
        "PORTAGE_CHECKSUM_FILTER": "-*",
    }.items():
        monkeypatch.setenv(name, value)
    assert "source.txt" in refusal(forged)
    (forged.folder / "distfiles/source.txt").write_text("good")
    forged.build()
    assert (forged.folder / "work/root/image/usr/share/lab/source").read_text() == "good"


def test_ebuilds_of_a_repository_with_whole_manifests(forged: Lab) -> None:
    """Where Manifests are not thin, ebuilds and patches must be as they say too, and FEATURES do not matter."""
    write(forged.folder, {"distfiles/source.txt": "good"})
    write(forged.tree, {LAYOUT: TREE[LAYOUT].replace("thin-manifests = true", "thin-manifests = false")})
    write(forged.tree, {DEFAULTS: TREE[DEFAULTS] + 'FEATURES="-strict"\n', "lab/top/files/a.patch": "evil"})
    content = (forged.tree / "lab/top/top-1.ebuild").read_bytes()
    lines = [f"EBUILD top-1.ebuild {len(content)} SHA512 {hashlib.sha512(content).hexdigest()}\n", line(b"good")]
    lines.append(f"AUX a.patch 4 SHA512 {hashlib.sha512(b'good').hexdigest()}\n")
    write(forged.tree, {"lab/top/Manifest": "".join(lines)})
    assert "a.patch" in refusal(forged)
    write(forged.tree, {"lab/top/files/a.patch": "good"})
    forged.build()
