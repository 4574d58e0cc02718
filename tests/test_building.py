"""One package is one build: it sees what it declares, and reaches nothing but its own package."""

from __future__ import annotations

import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quern.drivers.confinement import obstacle
from quern.errors import BuildError
from quern.portage import claims
from quern.portage.keys import read_ingredients
from quern.portage.store import Store
from quern.questions.explain import explain
from quern.steps.building import AS_BEFORE
from quern.steps.undeclared import HINT
from quern.worker import gpkg
from tests.conftest import tool
from tests.left import within
from tests.projects import write
from tests.test_emerging import TREE, Lab, ebuild

pytestmark = pytest.mark.emerge

LIBRARY = "library() {{ :; }}"
ROOT = '"${ED}/usr/share/lab"'


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image that is not built yet."""
    tool("scanelf", "pax-utils")
    return Lab(tmp_path)


def image(lab: Lab, *packages: str, **ebuilds: str) -> None:
    """Have the image consist of `packages`, of which `ebuilds` are written."""
    write(lab.tree, {"profiles/image/packages": "".join(f"lab/{name}\n" for name in packages)})
    write(lab.tree, {f"lab/{name}/{name}-1.ebuild": text for name, text in ebuilds.items()})


def test_exactly_the_closure_is_there(lab: Lab) -> None:
    """Build dependencies and what these need to run; not what is in the image, nor what they were built with."""
    seen = f'ls "${{ESYSROOT}}/var/db/pkg/lab" > {ROOT}/seen || die'
    image(
        lab,
        "aaa",
        "sees",
        aaa=ebuild(),
        made=ebuild(),
        runs=ebuild(),
        tool=ebuild('DEPEND="lab/made"\nRDEPEND="lab/runs"'),
        sees=ebuild('DEPEND="lab/tool"\nRDEPEND="lab/aaa"', seen),
    )
    lab.build()
    assert (lab.folder / "work/root/image/usr/share/lab/seen").read_text().split() == ["runs-1", "tool-1"]


def test_portage_s_own_questions_are_answered_from_it(lab: Lab) -> None:
    body = "has_version -{} lab/{} && echo {}-{} >> {}/has"
    asked = [(side, name) for side in "rdb" for name in ("declared", "other", "helper")]
    text = "; ".join(body.format(side, name, side, name, ROOT) for side, name in asked)
    image(
        lab,
        "other",
        "asks",
        other=ebuild(),
        declared=ebuild(slot="0/7"),
        helper=ebuild(),
        asks=ebuild(
            'DEPEND="lab/declared:="\nRDEPEND="lab/declared:= lab/other:="\nBDEPEND="lab/helper"', f"{text}; true"
        ),
    )
    lab.build()
    root = lab.folder / "work/root/image"
    assert (root / "usr/share/lab/has").read_text().split() == ["r-declared", "d-declared", "b-helper"]
    assert (root / "var/db/pkg/lab/asks-1/RDEPEND").read_text().split() == ["lab/declared:0/7=", "lab/other:="]


@pytest.mark.parametrize("first", ["aaa", "zzz"])
def test_a_header_that_is_not_declared(lab: Lab, first: str) -> None:
    """It is not there, wherever its package stands in the order; the message says who has it, once that is built."""
    tool("gcc", "gcc")
    header = f'mkdir -p "${{ED}}/usr/include" && echo "#define HAVE 1" > "${{ED}}/usr/include/{first}.h" || die'
    uses = f"echo '#include <{first}.h>' > x.c; gcc -I\"${{ESYSROOT}}/usr/include\" -c x.c -o x.o || die 'no luck'"
    image(lab, first, "mmm", **{first: ebuild(body=header), "mmm": ebuild(body=uses)})
    with pytest.raises(BuildError, match="lab/mmm-1 failed in its install phase") as first_time:
        lab.build()
    hint = HINT.format(name=f"{first}.h", owner=f"lab/{first}-1", package="lab/mmm-1")
    image(lab, first)
    lab.build()
    image(lab, first, "mmm")
    with pytest.raises(BuildError, match="lab/mmm-1 failed in its install phase") as second_time:
        lab.build()
    assert str(second_time.value).splitlines()[-1] == hint
    assert first_time.value.args
    image(lab, first, "mmm", mmm=ebuild(f'DEPEND="lab/{first}"', uses))
    lab.build()


def test_a_package_cannot_poison_another(lab: Lab) -> None:
    """It may write to its own host side, ROOT and PKGDIR; nothing of these is there for the next package."""
    if obstacle():
        pytest.skip(obstacle())
    evil = r"""
	local bin="${PORTAGE_OVERRIDE_EPREFIX}/usr/bin" real
	real=$(readlink -f "${bin}/mkdir") && rm -f "${bin}/mkdir" || die
	printf '#!/bin/sh\n%s "$@"\necho poisoned > "${ED}/usr/share/lab/poison"\n' "${real}" > "${bin}/mkdir" || die
	chmod 755 "${bin}/mkdir" || die
	mkdir -p "${PKGDIR}/lab/zzz" "${ROOT}/usr/share" "${ROOT}/var/db/pkg/lab/zzz-1"
	echo poison > "${ROOT}/usr/share/poison" || die
	echo poison > "${PKGDIR}/lab/zzz/zzz-1-1.gpkg.tar" || die
	rm -f "${ED}/usr/share/lab/poison"
"""
    image(lab, "evil", "zzz", evil=ebuild(body=evil), zzz=ebuild('DEPEND="lab/base"'))
    lab.build()
    assert lab.emerged() == ["lab/base-1", "lab/evil-1", "lab/zzz-1"]
    assert not (lab.folder / "work/root/image/usr/share/poison").exists()
    (file,) = lab.image.binpkgs.glob("*/zzz-*.gpkg.tar")
    with gpkg.opened(str(file)) as package:
        assert [member.name for member in package.image if member.isfile()] == [
            "image/usr/share/lab/zzz",
            "image/usr/share/man/man1/zzz.1",
        ]


def test_what_builds_write_to_is_their_own(lab: Lab) -> None:
    """Not the binary packages that they are built with, nor the configuration, nor the next step's view."""
    if obstacle():
        pytest.skip(obstacle())
    body = f"""
	local path top=/run/quern
	for path in ${{top}}/{{inputs/closure,config,inputs,distfiles,repositories/lab}}; do
		touch "${{path}}/x" 2>/dev/null && echo "${{path}}" >> {ROOT}/wrote
	done
	ls -d ${{top}}/{{inputs/closure,config,inputs,distfiles,repositories/lab}} > /dev/null || die
	touch {ROOT}/wrote
"""
    image(lab, "tries", tries=ebuild('DEPEND="lab/base"', body))
    lab.build()
    assert (lab.folder / "work/root/image/usr/share/lab/wrote").read_text() == ""


def test_phases_cannot_reach_the_store(lab: Lab) -> None:
    """Where a root is filled there are copies of its packages."""
    spoil = 'pkg_postinst() {\n\techo spoilt | tee "${ROOT}"/../scratch/view/lab/*/*.gpkg.tar > /dev/null\n}\n'
    image(lab, "spoils", spoils=ebuild() + spoil)
    lab.build()
    (file,) = lab.image.binpkgs.glob("lab/spoils-1-*.gpkg.tar")
    with gpkg.opened(str(file)) as package:
        assert package.metadata["PF"] == b"spoils-1\n"


def test_a_ring_of_run_time_dependencies(lab: Lab) -> None:
    """one is built with two, which runs with three (PDEPEND), which is built with one: three comes last."""
    image(
        lab,
        "one",
        one=ebuild('DEPEND="lab/two"'),
        two=ebuild('PDEPEND="lab/three"'),
        three=ebuild('DEPEND="lab/one"'),
    )
    lab.build()
    assert [line.split(" ")[-1].partition("::")[0] for line in lab.said if line.startswith(">>> Emerging (")] == [
        "lab/two-1",
        "lab/one-1",
        "lab/three-1",
    ]


def test_a_failure_keeps_what_was_built(lab: Lab) -> None:
    """And the next run builds only what is left."""
    image(lab, "zlast", zlast=ebuild('DEPEND="lab/base"', "die 'not yet'"))
    with pytest.raises(BuildError, match="not yet"):
        lab.build()
    assert lab.emerged() == ["lab/base-1", "lab/zlast-1"]
    image(lab, "zlast", zlast=ebuild('DEPEND="lab/base"'))
    lab.build()
    assert lab.emerged() == ["lab/zlast-1"]
    assert not os.listdir(lab.folder / "work" / "packages").count("own")


WAIT = """
	local logs=${{PORTAGE_LOG_FILE%/*}} waited=0
	touch "${{logs}}/{mine}" || die
	until [[ -e ${{logs}}/{other} ]]; do
		[[ $((waited++)) -lt 600 ]] || die "{other} was not built at the same time"
		sleep 0.1
	done
"""


def test_packages_are_built_at_the_same_time(lab: Lab) -> None:
    """Each waits for the other; what is built with both comes after."""
    one, two = (WAIT.format(mine=mine, other=other) for mine, other in (("one", "two"), ("two", "one")))
    image(lab, "both", one=ebuild(body=one), two=ebuild(body=two), both=ebuild('DEPEND="lab/one lab/two"'))
    write(lab.folder, {"lab.conf": (lab.folder / "lab.conf").read_text() + "[emerge]\njobs = 2\n"})
    lab.build()
    assert lab.emerged() == ["lab/both-1", "lab/one-1", "lab/two-1"]
    assert [line.partition(" in ")[0] for line in lab.said if line.startswith("Built ")] == ["Built 3 packages"]
    path = next(line for line in lab.said if line.startswith("Longest path: "))
    assert re.fullmatch(r"Longest path: .* s of .* s: lab/(one|two)-1 .* s, lab/both-1 .* s", path)
    log = (lab.folder / "work/logs/packages.log").read_text()
    assert ">>> Completed (3 of 3) lab/both-1::lab\n" in log
    assert "\nlab/one-1: >>> Emerging (1 of 1) lab/one-1::lab for " in log
    image(lab, "one", "both")
    lab.build()
    assert not any(line.startswith(("Built ", "Longest path: ")) for line in lab.said)


def test_what_is_not_built_with_a_failure_is_built(lab: Lab) -> None:
    """Both reasons are said, and what was left; the next run builds only what is missing."""
    broken = ebuild(body='die "first of all"')
    image(
        lab,
        *("aaa", "bbb", "needs", "well"),
        aaa=broken,
        bbb=ebuild(body='sleep 1; die "second to none"'),
        needs=ebuild('DEPEND="lab/aaa"'),
        well=ebuild(body="sleep 2"),
    )
    with pytest.raises(BuildError) as failed:
        lab.build()
    said = str(failed.value)
    assert "lab/aaa-1 failed in its install phase\n  first of all" in said
    assert "lab/bbb-1 failed in its install phase\n  second to none" in said
    assert "not built for want of lab/aaa-1: lab/needs-1" in said
    assert any(line.endswith("-1 failed; going on with what is not built with it") for line in lab.said)
    counts = next(line for line in lab.said if line.startswith("Built 1 package in "))
    assert counts.endswith(", 2 failed, 1 not built")
    image(lab, "aaa", "bbb", "needs", "well", aaa=ebuild(), bbb=ebuild())
    lab.build()
    assert lab.emerged() == ["lab/aaa-1", "lab/bbb-1", "lab/needs-1"]


def test_no_more_is_begun_after_a_failure(lab: Lab) -> None:
    """With [build] keep_going = off; what is being built is brought to its end."""
    image(lab, "aaa", "bbb", aaa=ebuild(body='die "no"'), bbb=ebuild())
    text = (lab.folder / "lab.conf").read_text()
    write(lab.folder, {"lab.conf": f"{text}keep_going = off\n[emerge]\njobs = 1\n"})
    with pytest.raises(BuildError, match="lab/aaa-1 failed in its install phase"):
        lab.build()
    assert lab.emerged() == ["lab/aaa-1"]


def test_two_runs_share_the_work(tmp_path: Path) -> None:
    """Two images with one store, begun at once: each package is built by one of the two, and both have all of them."""
    tool("scanelf", "pax-utils")
    labs = [Lab(tmp_path / name) for name in ("first", "second")]
    names = [f"p{number}" for number in range(5)]
    for lab in labs:
        shutil.rmtree(lab.tree)
        lab.tree = labs[0].tree
        write(
            lab.folder,
            {
                "lab.conf": f"[portage]\nrepositories = {labs[0].folder}/tree\nbinpkg = ../binpkgs\n"
                "[build]\nprofile = lab:image\n[emerge]\njobs = 1\n"
            },
        )
    write(labs[0].tree, TREE)
    image(labs[0], *names, **{name: ebuild(body="sleep 1") for name in names})
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(lab.build) for lab in labs]:
            future.result()
    assert sorted([*labs[0].emerged(), *labs[1].emerged()]) == [f"lab/{name}-1" for name in names]
    assert labs[0].emerged()
    assert labs[1].emerged()
    assert labs[0].packages() == labs[1].packages()


def test_what_is_built_with_the_same_content_is_kept(lab: Lab) -> None:
    """A change of one package that gives the same bytes stops there: what is built with it is as it was."""
    if obstacle():
        pytest.skip(obstacle())
    ebuilds = {"low": ebuild(), "mid": ebuild('DEPEND="lab/low"'), "high": ebuild('DEPEND="lab/mid"')}
    image(lab, *ebuilds, **ebuilds)
    assert lab.build() == ["portage", "packages", "root", "strip", "tarball"]
    write(lab.tree, {"lab/low/files/unused.patch": "not applied"})
    verdict = next(each for each in explain(lab.image) if each.step == "packages")
    assert (list(verdict.built), verdict.maybe) == (
        ["lab/low-1", "lab/mid-1", "lab/high-1"],
        ["lab/mid-1", "lab/high-1"],
    )
    assert lab.build() == ["packages", "root"]  # the lock has the digest of files/
    assert lab.emerged() == ["lab/low-1"]
    kept = [AS_BEFORE.format(name=f"lab/{name}-1") for name in ("mid", "high")]
    assert [line for line in lab.said if line in kept] == kept
    assert lab.ledger() == {
        "lab/low-1": "built: files/ added",
        "lab/mid-1": "reused",
        "lab/high-1": "reused",
    }
    assert lab.build() == []

    write(lab.tree, {"lab/low/low-1.ebuild": ebuild(body='echo more >> "${ED}/usr/share/lab/low" || die')})
    verdict = next(each for each in explain(lab.image) if each.step == "packages")
    assert list(verdict.built) == ["lab/low-1", "lab/mid-1", "lab/high-1"]
    assert verdict.maybe == ["lab/high-1"]
    assert lab.build() == ["packages", "root", "strip", "tarball"]
    assert lab.emerged() == ["lab/low-1", "lab/mid-1"]
    assert [line for line in lab.said if line in kept] == kept[1:]


def test_a_run_that_gives_up_a_package_is_not_waited_for(tmp_path: Path) -> None:
    """The others are built meanwhile, and then that package too; it is the one for which most of the rest waits."""
    if obstacle():
        pytest.skip(obstacle())
    tool("scanelf", "pax-utils")
    first, lab = Lab(tmp_path / "first"), Lab(tmp_path / "second")
    ebuilds = {"aaa": ebuild(), "top": ebuild('DEPEND="lab/aaa"'), "bbb": ebuild(), "ccc": ebuild(), "ddd": ebuild()}
    for each in (first, lab):
        image(each, *ebuilds, **ebuilds)
    first.build()
    made_of = read_ingredients(first.folder / "work/packages/ingredients.json")
    assert made_of
    lab.image.binpkgs.mkdir(parents=True)
    keys, packages = made_of.keys(), Store(lab.image.binpkgs)
    held = claims.claim(packages.folder, "lab/aaa-1", keys["lab/aaa-1"])
    assert held
    others = [packages.record(packages.path(cpv, keys[cpv])) for cpv in ("lab/bbb-1", "lab/ccc-1")]
    with ThreadPoolExecutor() as pool, within(120):
        built = pool.submit(lab.build)
        while not all(path.exists() for path in others):
            time.sleep(0.1)
        held.give_up()
        built.result()
    assert lab.emerged() == [f"lab/{name}-1" for name in sorted(ebuilds)]
    assert any(line.startswith("Waiting for process ") for line in lab.said)
