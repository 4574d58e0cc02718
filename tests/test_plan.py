from __future__ import annotations

from typing import Any

import pytest

from quern.portage.plan import Plan, from_answer


def entry(cpv: str, build: list[int] | None = None, run: list[int] | None = None, **other: object) -> dict[str, Any]:
    """A package as the worker answers."""
    return {
        "cpv": cpv,
        "slot": "0",
        "subslot": "5",
        "repository": "tree",
        "use": ["ssl"],
        "iuse": ["ssl", "test"],
        "flags": ["amd64", "ssl"],
        "on_host": False,
        "ebuild": f"/tree/{cpv}.ebuild",
        "eclasses": {"c": "/tree/eclass/c.eclass"},
        "distfiles": ["a.tar.xz"],
        "build_deps": build or [],
        "run_deps": run or [],
        **other,
    }


def plan(*entries: dict[str, Any]) -> Plan:
    return from_answer({"plan": list(entries), "variables": {"CFLAGS": "-O2"}, "watched": []})


def test_an_answer_becomes_a_plan() -> None:
    found = plan(entry("lib/b-1"), entry("lib/a-1"), entry("app/c-2-r1", build=[0, 1], run=[1]))
    assert [package.cpv for package in found.packages] == ["lib/b-1", "lib/a-1", "app/c-2-r1"]  # the order of merging
    package = found["app/c-2-r1"]
    assert (package.build_deps, package.run_deps) == (("lib/a-1", "lib/b-1"), ("lib/a-1",))
    assert (package.use, package.iuse, package.flags) == (("ssl",), ("ssl", "test"), ("amd64", "ssl"))
    assert (package.slot, package.subslot, package.distfiles) == ("0", "5", ("a.tar.xz",))
    assert package.atom == "=app/c-2-r1:0::tree"
    assert found.variables == {"CFLAGS": "-O2"}
    with pytest.raises(KeyError):
        found["lib/b-2"]


@pytest.mark.parametrize(
    ("cpv", "name"),
    [
        ("dev-lang/python-3.4.3-r1", "dev-lang/python"),
        ("sys-libs/readline-6.3_p8-r2", "sys-libs/readline"),
        ("app-misc/ca-certificates-20151214.3.21", "app-misc/ca-certificates"),
        ("dev-libs/openssl-1.0.2h", "dev-libs/openssl"),
        ("media-libs/gst-plugins-base-1.2", "media-libs/gst-plugins-base"),
        ("x11-libs/gtk+-3.24", "x11-libs/gtk+"),
        ("dev-util/x-2b-1", "dev-util/x-2b"),
    ],
)
def test_name(cpv: str, name: str) -> None:
    assert plan(entry(cpv)).packages[0].name == name


def test_packages_that_are_merged_where_emerge_runs() -> None:
    """They are no part of the image, though the same package may be, and all that they need counts as built with."""
    answer = {
        "plan": [
            entry("lib/z-1"),
            {**entry("lib/z-1"), "on_host": True},
            {**entry("app/tool-1", run=[1]), "on_host": True},
            entry("app/a-1", build=[2], run=[0]),
        ],
        "variables": {},
        "watched": ["/tree/app"],
    }
    found = from_answer(answer, lambda path: path.replace("/tree", "/here"))
    assert [package.cpv for package in found.packages] == ["lib/z-1", "app/a-1"]
    assert [package.id for package in found.host] == ["/lib/z-1", "/app/tool-1"]
    assert found.watched == ("/here/app",)
    assert (found["app/a-1"].build_deps, found["app/a-1"].run_deps) == (("/app/tool-1",), ("lib/z-1",))
    assert found.closures.inside["app/a-1"] == ["/app/tool-1", "/lib/z-1"]
