"""A library that asks a server of this machine for /stolen from every program that loads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import tool

SOURCE = """\
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
__attribute__((constructor)) static void steal(void) {{
    struct sockaddr_in server = {{ .sin_family = AF_INET, .sin_port = htons({port}) }};
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(connection, (struct sockaddr *) &server, sizeof server) == 0)
        (void)!write(connection, "GET /stolen HTTP/1.0\\r\\n\\r\\n", 24);
    close(connection);
}}
"""


def thief(folder: Path, address: str) -> Path:
    """Make the library in `folder`, for LD_PRELOAD; `address` is the server's."""
    source, library = folder / "thief.c", folder / "thief.so"
    source.write_text(SOURCE.format(port=address.rpartition(":")[2]))
    subprocess.run([str(tool("gcc", "gcc")), "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library
