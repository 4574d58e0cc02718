"""Which servers `mirror://NAME/` stands for: the text of Portage's own `mirrors` file (portage(5))."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

# Debian's archives by what stands in the path of their URLs; the first is `mirror://debian`.
ARCHIVES = {"debian": "debian", "debian-security": "debian-security"}


def apt_mirrors() -> dict[str, list[str]]:
    """The Debian mirrors of this machine's apt configuration, by archive; empty where there is no apt."""
    import subprocess

    apt = shutil.which("apt-get")
    if apt is None:
        return {}
    # LC_ALL: the key names of the answer are not translated, its warnings are
    answer = subprocess.run(
        [apt, "indextargets", "--format", "$(SITE)"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    found: dict[str, list[str]] = {}
    for site in dict.fromkeys(line.strip().rstrip("/") for line in answer.stdout.splitlines()):
        name = ARCHIVES.get(site.rsplit("/", 1)[-1])
        if name and site.startswith(("http://", "https://")):
            found.setdefault(name, []).append(site)
    return found


def mirrors_text(configured: Iterable[tuple[str, str]], detected: dict[str, list[str]]) -> str:
    """The `mirrors` file: what the user configured for a name replaces what was detected for it."""
    chosen: dict[str, list[str]] = {}
    for name, url in configured:
        chosen.setdefault(name, []).append(url)
    return "".join(f"{name} {' '.join(urls)}\n" for name, urls in sorted({**detected, **chosen}.items()))
