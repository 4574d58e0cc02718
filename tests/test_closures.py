"""What each package is built with: exactly what it declares, and what that needs to run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.errors import BuildError
from quern.portage.closures import to_build
from quern.portage.plan import Plan
from tests.test_plan import entry, plan


def test_build_dependencies_with_what_they_need_to_run() -> None:
    """make runs with libc; tool is built with make and runs with data; app is built with tool and runs with docs."""
    libc, make, data, docs, tool, app = (
        "sys/libc-1",
        "sys/make-1",
        "sys/data-1",
        "sys/docs-1",
        "sys/tool-1",
        "app/app-1",
    )
    found = plan(
        entry(libc),
        entry(make, run=[0]),
        entry(data),
        entry(docs),
        entry(tool, build=[1], run=[2]),
        entry(app, build=[4], run=[3]),
    )
    inside, cut, order = found.closures
    assert inside == {libc: [], make: [], data: [], docs: [], tool: [libc, make], app: [data, tool]}
    assert not any(cut.values())
    assert order.index(make) < order.index(tool) < order.index(app)


def test_a_run_time_dependency_that_is_built_later_is_cut() -> None:
    """a is built with b, which runs with c, which is built with a."""
    found = plan(entry("a/a-1", build=[1]), entry("a/b-1", run=[0, 2]), entry("a/c-1", build=[0]))
    assert found.closures.inside == {"a/a-1": ["a/b-1"], "a/b-1": [], "a/c-1": ["a/a-1"]}
    assert found.closures.cut == {"a/a-1": ["a/c-1"], "a/b-1": [], "a/c-1": []}
    assert found.closures.order.index("a/a-1") < found.closures.order.index("a/c-1")


def test_what_is_cut_does_not_depend_on_what_else_is_in_the_plan() -> None:
    """Nor on the order in which Portage gives the packages."""
    one = plan(entry("a/a-1", build=[1]), entry("a/b-1", run=[2]), entry("a/c-1", build=[0]))
    other = plan(entry("a/c-1", build=[3]), entry("z/z-1", run=[3]), entry("a/b-1", run=[0]), entry("a/a-1", build=[2]))
    for name, inside in one.closures.inside.items():
        assert other.closures.inside[name] == inside
        assert other.closures.cut[name] == one.closures.cut[name]


def test_build_dependencies_that_go_round_are_refused() -> None:
    with pytest.raises(BuildError, match=r"build dependencies go round: a/(a|b)-1 is built with a/(a|b)-1 is built"):
        plan(entry("a/a-1", build=[1]), entry("a/b-1", build=[0])).closures  # noqa: B018


def test_what_comes_first_is_there_for_all_but_what_it_needs_itself() -> None:
    libc, files, app = "sys/libc-1", "sys/files-1", "app/app-1"
    found = replace(plan(entry(libc), entry(files, run=[0]), entry(app)), first=("sys/files",))
    assert found.closures.inside == {libc: [], files: [], app: [files, libc]}


def test_in_a_system_run_time_dependencies_are_there_too() -> None:
    """The system's own libraries are built with; the database of ROOT answers has_version and `:=`."""
    found = plan(entry("lib/z-1"), entry("app/a-1", run=[0]))
    assert found.closures.inside["app/a-1"] == []
    assert replace(found, system=True).closures.inside["app/a-1"] == ["lib/z-1"]


@given(st.lists(st.tuples(st.sets(st.integers(0, 7)), st.sets(st.integers(0, 7))), min_size=8, max_size=8))
def test_any_graph(edges: list[tuple[set[int], set[int]]]) -> None:
    """What is cut needs the package to be built itself, nothing else is left out, and the order is one to build in."""
    rows = [(sorted(each for each in build if each < number), run) for number, (build, run) in enumerate(edges)]
    found = plan(*(entry(f"a/p{number}-1", build, sorted(run)) for number, (build, run) in enumerate(rows)))
    inside, cut, order = found.closures
    whole = {name: _whole(found, name) for name in order}
    built = set[str]()
    for name in order:
        direct = set(found[name].build_deps)
        assert direct <= set(inside[name]) <= whole[name]
        assert set(inside[name]) <= built
        assert set(cut[name]) == {other for other in whole[name] - direct if name in _reach(whole, other)}
        for other in inside[name]:
            assert set(found[other].run_deps) - {name} <= {*inside[name], *cut[name]}
        built.add(name)
    assert built == {package.id for package in found.packages}


def _whole(found: Plan, name: str) -> set[str]:
    """The build dependencies with all that they need to run, nothing cut."""
    seen, todo = set[str](), list(found[name].build_deps)
    while todo:
        other = todo.pop()
        if other not in seen and other != name:
            seen.add(other)
            todo += found[other].run_deps
    return seen


def _reach(graph: dict[str, set[str]], name: str) -> set[str]:
    seen, todo = set[str](), list(graph[name])
    while todo:
        other = todo.pop()
        if other not in seen:
            seen.add(other)
            todo += graph[other]
    return seen


def test_of_the_host_side_only_what_is_missing_and_needed_is_built() -> None:
    inside = {"a": ["/t", "/u"], "b": ["/v"], "/t": ["/w"], "/u": [], "/v": [], "/w": []}
    assert to_build(inside, ["a"], ["/t", "/v", "/w"]) == ["a", "/t", "/w"]
    assert to_build(inside, [], ["/t"]) == []
