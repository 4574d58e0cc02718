"""From the text of an option to its value: what docker and the OCI image configuration need.

Sources: the reference grammar of distribution (names, tags, digests), config.md of the OCI image specification (User,
ExposedPorts, Env, Volumes, Labels) and docker's documentation of label keys.
"""

from __future__ import annotations

import json
import re

from quern.config.settings import Pairs, Storage
from quern.config.values import Context, Unfit, distinct, items, plain

DATE = "$$DATE$$"
LEAST_MEMORY = 6 << 20  # docker refuses less
LEAST_CPUS = 10_000_000  # 0.01, likewise
# Linux's, signal(7): not those of the machine that this runs on
SIGNALS = (
    "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGKILL",
    "SIGPIPE", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP",
    "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ",
)  # fmt: skip
_REAL_TIME = r"SIGRT(?:MIN(?:\+(?:[1-9]|1[0-5]))?|MAX(?:-(?:[1-9]|1[0-4]))?)"  # the 31 that engines know by name

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST_PART = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_HOST_PART}(?:\.{_HOST_PART})*(?::[0-9]+)?"
_NAME = rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_USER = r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*)"
_VOLUME = r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}"
_ADDRESS = r"(?:tcp|http|https|ssh)://[^\s/]+.*|unix:///.+"


def image_name(text: str, context: Context) -> str:
    """The name of an image: a name for files, and one component of a docker name."""
    if len(text) > 128 or not re.fullmatch(_COMPONENT, text):
        raise Unfit("lower-case letters and digits, with single . _ or - between them")
    return text


def docker_name(text: str, context: Context) -> str:
    """A docker image name without tag: [HOST[:PORT]/]path."""
    if re.fullmatch(rf"{_NAME}:{_TAG}", text) and not re.fullmatch(_NAME, text):
        raise Unfit("a docker image name without tag (dockergen.tag sets that)")
    if len(text) > 255 or not re.fullmatch(_NAME, text):
        raise Unfit("a docker image name ([HOST[:PORT]/]name, lower case)")
    return text


def docker_reference(text: str, context: Context) -> str:
    """A docker image to start from: name, tag and digest, or an image id."""
    if not re.fullmatch(rf"{_NAME}(?::{_TAG})?(?:@{_DIGEST})?|sha256:[0-9a-f]{{64}}", text):
        raise Unfit("a docker image (name[:tag][@digest])")
    return text


def tag(text: str, context: Context) -> str:
    """A docker tag, in which $$DATE$$ stands for YYYYMMDD."""
    filled = text.replace(DATE, "20160516")
    if "$" in filled:
        raise Unfit(f"a docker tag ({DATE} is the only token)")
    if not re.fullmatch(_TAG, filled):
        raise Unfit("a docker tag (letters, digits, _ . -, 128 at most)")
    return text


def daemon(text: str, context: Context) -> str:
    """The address of a docker daemon. A socket's path may follow two slashes, as in unix://var/run/docker.sock."""
    if text.startswith("unix://"):
        text = "unix:///" + text.removeprefix("unix://").lstrip("/")
    elif re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]+|\[[0-9a-fA-F:]+\]:[0-9]+", text):
        text = "tcp://" + text
    if not plain(text) or not re.fullmatch(_ADDRESS, text):
        raise Unfit("the address of a docker daemon (unix:///PATH, tcp://HOST:PORT, ssh://HOST)")
    return text


def network(text: str, context: Context) -> str:
    """A docker network: none, host, bridge, or the name of one that was made."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", text):
        raise Unfit("a docker network (none, host, or a name)")
    return text


def memory(text: str, context: Context) -> int:
    """A number of bytes, as docker takes it: a whole number, and k, m or g for powers of 1024. At least 6m."""
    size = _bytes(text)
    if size is None or size < LEAST_MEMORY:
        raise Unfit("an amount of memory, 6m or more (512m, 4g)")
    return size


def _bytes(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,15})([kmg]?)b?", text.lower())
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2]] if match else None


def storage(text: str, context: Context) -> Storage:
    """Where a container has room for builds: folder, volume:NAME or tmpfs:SIZE.

    A bare word is no volume: mistyped, it would make one.
    """
    if text == "folder":
        return Storage()
    kind, _, what = text.partition(":")
    if kind == "volume" and re.fullmatch(_VOLUME, what):
        return Storage(volume=what)
    if kind == "tmpfs" and (size := _bytes(what)):
        return Storage(size=size)
    raise Unfit("folder, volume:NAME (two or more letters, digits, _ . -) or tmpfs:SIZE (512m, 4g)")


def cpus(text: str, context: Context) -> int:
    """A number of processors, in units of 1e-9."""
    match = re.fullmatch(r"([0-9]{1,4})(?:\.([0-9]{1,9}))?", text)
    if not match or (units := int(match[1] + (match[2] or "").ljust(9, "0"))) < LEAST_CPUS:
        raise Unfit("a number of processors, 0.01 or more (2, 1.5)")
    return units


def capabilities(text: str, context: Context) -> tuple[str, ...]:
    """Names of capabilities (capabilities(7)), with or without CAP_."""
    names = [item.upper() if item.upper().startswith("CAP_") else f"CAP_{item.upper()}" for item in items(text)]
    for name in names:
        if not re.fullmatch(r"CAP_[A-Z_]+", name) or name == "CAP_ALL":
            raise Unfit("names of capabilities (MKNOD, SYS_CHROOT)", name.removeprefix("CAP_"))
    return distinct(names, "capability")


def argv(text: str, context: Context) -> tuple[str, ...]:
    """A command: split as a shell would, or a JSON list of strings. Nothing in it is expanded."""
    words = _json_list(text) if text.startswith("[") else shell_words(text)
    if not all(plain(word) for word in words):
        raise Unfit("words without control characters")
    if words and not words[0]:
        raise Unfit("a command whose first word is not empty")
    return words


def shell_words(text: str) -> tuple[str, ...]:
    """Split as a POSIX shell splits words; new lines separate as well."""
    import shlex

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise Unfit(f"words quoted as in a shell ({str(error).lower()})") from None


def _json_list(text: str) -> tuple[str, ...]:
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Unfit('a command or a JSON list of strings (["/bin/sh", "-c", "..."])')
    return tuple(words)


def ports(text: str, context: Context) -> tuple[str, ...]:
    """Exposed ports as N/PROTOCOL; tcp when none is given."""
    return distinct([_port(item) for item in items(text)], "port")


def _port(text: str) -> str:
    match = re.fullmatch(r"([0-9]{1,5})(?:/(tcp|udp|sctp))?", text)
    if not match or not 1 <= int(match[1]) <= 65535:
        raise Unfit("ports like 80 or 53/udp, 1 to 65535", text)
    return f"{int(match[1])}/{match[2] or 'tcp'}"


def user(text: str, context: Context) -> str:
    """USER[:GROUP], names or numbers."""
    if not re.fullmatch(rf"{_USER}(?::{_USER})?", text):
        raise Unfit("USER or USER:GROUP (names or numbers)")
    return text


def stop_signal(text: str, context: Context) -> str:
    """The name of a signal, SIGNAME, as the image configuration has it (OCI image-spec config.md, StopSignal)."""
    from quern.errors import nearest

    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if name in SIGNALS or re.fullmatch(_REAL_TIME, name):
        return name
    near = nearest(name, SIGNALS)
    raise Unfit(f"the name of a signal ({f'the nearest is {near}' if near else 'SIGTERM, SIGINT, SIGRTMIN+3'})")


def env(text: str, context: Context) -> Pairs:
    """Environment variables: KEY=VALUE words, quoted as in a shell."""
    return _pairs(text, r"[A-Za-z_][A-Za-z0-9_]*", "a variable's name (letters, digits, _)")


def labels(text: str, context: Context) -> Pairs:
    """Labels: KEY=VALUE words, quoted as in a shell."""
    return _pairs(text, _LABEL, "a label's key (letters, digits, with . _ - / between them)")


def manifest_annotations(text: str, context: Context) -> Pairs:
    """Annotations of the manifest (OCI image-spec annotations.md): KEY=VALUE words, quoted as in a shell."""
    return _pairs(text, _LABEL, "an annotation's key (letters, digits, with . _ - / between them)")


def _pairs(text: str, key: str, what: str) -> Pairs:
    pairs: dict[str, str] = {}
    for word in shell_words(text):
        name, equals, value = word.partition("=")
        if not equals:
            raise Unfit("words of the form KEY=VALUE, quoted as in a shell", word)
        if not re.fullmatch(key, name):
            raise Unfit(what, name)
        if name in pairs:
            raise Unfit("each key once", name)
        if not plain(value):
            raise Unfit("values without control characters or line ends", word)
        pairs[name] = value
    return tuple(pairs.items())
