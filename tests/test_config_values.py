"""From the text of an option to its value, parser by parser."""

from __future__ import annotations

import contextlib
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.config import container, portage, values
from quern.config.settings import RepositoryRef
from quern.config.values import Context, Parser, Unfit

HERE = Context(Path("/project"), "/home/someone")
NOWHERE = Context(Path("/project"), None)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.switch, "Yes", True),
        (values.switch, "0", False),
        (values.epoch, "0", 0),
        (values.path, "a/../b", Path("/project/b")),
        (values.path, "~/x", Path("/home/someone/x")),
        (values.path, "/x//y/", Path("/x/y")),
        (values.path, "$(reboot)", Path("/project/$(reboot)")),
        (values.lock, "profiles/x/packages.lock", Path("/project/profiles/x/packages.lock")),
        (values.image_paths, "/var/db/pkg, //usr//share/", ("/var/db/pkg", "/usr/share")),
        (values.image_paths, "/usr/lib/*/test", ("/usr/lib/*/test",)),
        (values.image_paths, "/a b\n/c", ("/a b", "/c")),
        (container.image_name, "musl-python3", "musl-python3"),
        (container.docker_name, "localhost:5000/a/b__c", "localhost:5000/a/b__c"),
        (container.docker_name, "registry.example/x", "registry.example/x"),
        (container.docker_reference, "a/b:1@sha256:" + "0" * 64, "a/b:1@sha256:" + "0" * 64),
        (container.docker_reference, "sha256:" + "a" * 64, "sha256:" + "a" * 64),
        (container.tag, "$$DATE$$", "$$DATE$$"),
        (container.tag, "v1-$$DATE$$", "v1-$$DATE$$"),
        (container.daemon, "unix://var/run/docker.sock", "unix:///var/run/docker.sock"),
        (container.daemon, "unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
        (container.daemon, "localhost:2375", "tcp://localhost:2375"),
        (container.daemon, "ssh://me@host", "ssh://me@host"),
        (container.argv, "/usr/bin/python3 -c 'print(\"$(id)\")'", ("/usr/bin/python3", "-c", 'print("$(id)")')),
        (container.argv, '["/bin/sh", "-c", "echo  é"]', ("/bin/sh", "-c", "echo  é")),
        (container.argv, "[]", ()),
        (container.ports, "80, 53/udp,080", None),
        (container.ports, "80, 53/udp", ("80/tcp", "53/udp")),
        (container.user, "1000:1000", "1000:1000"),
        (container.user, "www-data", "www-data"),
        (container.env, "A=1 B='x y' C=", (("A", "1"), ("B", "x y"), ("C", ""))),
        (container.labels, 'org.opencontainers.image.title="A b"', (("org.opencontainers.image.title", "A b"),)),
        (container.labels, "note=a=b", (("note", "a=b"),)),
        (container.manifest_annotations, "org.example/a='1 2' b=", (("org.example/a", "1 2"), ("b", ""))),
        (container.stop_signal, "SIGINT", "SIGINT"),
        (container.stop_signal, "quit", "SIGQUIT"),
        (container.stop_signal, "SIGRTMIN+15", "SIGRTMIN+15"),
        (container.stop_signal, "rtmax-14", "SIGRTMAX-14"),
        (portage.repositories, "r, a/", (RepositoryRef("r", None), RepositoryRef(None, Path("/project/a")))),
        (portage.repositories, "~/r", (RepositoryRef(None, Path("/home/someone/r")),)),
        (portage.profile, "gentoo:default/linux/amd64/23.0", "gentoo:default/linux/amd64/23.0"),
        (portage.atoms, "a/b, c/d:3.13[ssl,-gdbm]", ("a/b", "c/d:3.13[ssl,-gdbm]")),
        (portage.urls, "https://a.example/x file:///b", ("https://a.example/x", "file:///b")),
        (portage.mirrors, "gnu=https://a.example gnu=http://b.example/x", (("gnu", "https://a.example"), ("gnu", "http://b.example/x"))),
    ],
)  # fmt: skip
def test_what_is_understood(parse: Parser, text: str, value: object) -> None:
    if value is None:
        with pytest.raises(Unfit):
            parse(text, HERE)
    else:
        assert parse(text, HERE) == value


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (values.switch, ["maybe", "2", "yes please"]),
        (values.count, ["-1", "1.0", "0x10", "٣", "1e3"]),
        (values.epoch, ["-1", "253402300800", "2016-05-16"]),
        (values.path, ["~root/x", "~", "a\nb", "a\0b"]),
        (values.folder, ["/", "//", "/x/.."]),
        (values.lock, ["/", "profiles/x/packages", "quern.conf", "x.lock/y", ".lock", "~someone/x.lock"]),
        (values.image_paths, ["usr", "/", "/a/../b", "/a, b", "/./a"]),
        (container.image_name, ["A", "a/b", "a b", "-a", "a-", ".", "..", "a" * 129, "é", "a:b", "a\n"]),
        (container.docker_name, ["A/b/C", "a:1", "a@b", "", "a//b", "/a", "a b", "$(id)", "a" * 256]),
        (container.docker_reference, ["a b", "a:", "a@sha256:x", "--privileged", ":x"]),
        (container.tag, ["$$TIME$$", "$DATE", "a b", "-a", "a" * 129, "a/b", "$$DATE$$" * 17]),
        (container.daemon, ["docker", "unix://", "fd://", "tcp://", "/var/run/docker.sock", "unix:///a\nb"]),
        (container.argv, ["'open", '["a"', "[1]", "[a]", '[""]', '["a\\u0000"]', "'' a"]),
        (container.ports, ["0", "65536", "80/http", "http", "8000-8010", "80, 80/tcp"]),
        (container.user, ["a b", ":0", "a:", "a:b:c", "$(id)", "-u"]),
        (container.env, ["A", "1A=b", "A B=c", "=x", "A=1 A=2", "A='x\ny'", "A-B=c"]),
        (container.labels, ["a", "-a=b", "a b=c d", "a =b", "'a\n'=b", "a=1 a=2"]),
        (container.manifest_annotations, ["a", "-a=b", "=b", "a=1 a=2", "a='x\ny'"]),
        (container.stop_signal, ["2", "SIG", "SIGFOO", "SIGRTMIN+16", "SIGRTMAX-0", "SIGINT SIGTERM", "SIGİNT"]),
        (portage.repositories, ["two words", "a:b", "-x", "a, a", "x-1.2", "gentoo\0"]),
        (portage.repository_names, ["a/b", "-a", "a a", "x-1"]),
        (portage.profile, ["x", ":x", "a:", "a:/x", "a:x/../y", "a:x//y", "-a:x", "a:./x"]),
        (portage.atoms, ["python", "*/*", "dev-lang/python-3.13", "a/b[x", "a/b]c", "!a/b"]),
        (portage.urls, ["packages", "https://", "ht tp://x", "https://[nowhere/x"]),
        (
            portage.mirrors,
            [
                "gnu=file://srv/x",
                "gnu=file://",
                "gnu",
                "gnu=",
                "gnu=x",
                "=http://x",
                "gnu=javascript:x",
                "g/u=http://x",
            ],
        ),
    ],
)
def test_what_is_refused(parse: Parser, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(Unfit) as caught:
            parse(text, NOWHERE)
        assert caught.value.expected


def test_the_part_at_fault_is_named() -> None:
    with pytest.raises(Unfit) as caught:
        container.ports("80, 70000", HERE)
    assert (caught.value.expected, caught.value.got) == ("ports like 80 or 53/udp, 1 to 65535", "70000")


WORDS = st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1), min_size=1)


@given(WORDS)
def test_quoted_words_come_back_unexpanded(words: list[str]) -> None:
    import shlex

    assert container.argv(" " + shlex.join(words), HERE) == tuple(words)


@given(
    st.dictionaries(
        st.text(string.ascii_letters, min_size=1), st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]))
    )
)
def test_pairs_come_back_as_written(pairs: dict[str, str]) -> None:
    import shlex

    text = " ".join(f"{key}={shlex.quote(value)}" for key, value in pairs.items())
    assert dict(container.labels(text, HERE)) == pairs
    assert dict(container.env(text, HERE)) == pairs


@given(st.text())
def test_no_text_breaks_a_parser(text: str) -> None:
    from quern.config import OPTIONS

    for option in OPTIONS:
        with contextlib.suppress(Unfit):
            option.parse(text, HERE)


def test_the_nearest_signal_is_named() -> None:
    with pytest.raises(Unfit, match=r"the name of a signal \(the nearest is SIGINT\)"):
        container.stop_signal("SIGITN", HERE)
    with pytest.raises(Unfit, match=r"SIGRTMIN\+3\)$"):
        container.stop_signal("whenever", HERE)
