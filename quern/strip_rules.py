"""What `[strip] doc` and `[strip] dev` stand for, as rules of the same form as `[strip] paths`."""

from __future__ import annotations

from quern.config.settings import Strip

DOC = (
    "/usr/share/man",
    "/usr/share/info",
    "/usr/share/doc",
    "/usr/share/gtk-doc",
    "/usr/local/share/man",
    "/usr/local/share/info",
    "/usr/local/share/doc",
)

DEV = (
    "/usr/include",
    "/usr/local/include",
    "/lib*/**/*.a",
    "/usr/lib*/**/*.a",
    "/usr/lib*/**/*.la",
    "/usr/lib*/*.o",  # crt1.o and the like: what a linker starts from
    "/usr/lib*/**/pkgconfig",
    "/usr/share/pkgconfig",
    "/usr/lib*/cmake",
    "/usr/share/cmake",
    "/usr/share/aclocal",
    "/usr/lib*/python*/config-*",  # CPython's own Makefile and static library
)


def rules(strip: Strip) -> list[str]:
    """The rules that the settings stand for, in a fixed order."""
    return [*(DOC if strip.doc else ()), *(DEV if strip.dev else ()), *strip.paths]


def option_of(rule: str, strip: Strip) -> str:
    """The option that a rule is there for: SECTION.KEY."""
    if rule in strip.paths:
        return "strip.paths"
    return "strip.doc" if rule in DOC else "strip.dev"
