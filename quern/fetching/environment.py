"""What fetching takes from the user's environment: proxies, and certificate authorities of his own."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Mapping
from urllib.parse import SplitResult

from quern.errors import BuildError

AUTHORITIES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE")  # a file; OpenSSL's name first, then curl's
FOLDERS = "SSL_CERT_DIR"  # X509_get_default_cert_dir(3)


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The proxies by scheme, and with `no` the hosts that need none; names in small letters count first."""
    found = {}
    for name, value in sorted(environment.items()):  # small letters come last
        if name.lower().endswith("_proxy"):
            found[name.lower().removesuffix("_proxy")] = value
    return found


def proxy_for(parts: SplitResult, known: Mapping[str, str]) -> str:
    """The proxy for an address; empty for none."""
    host = parts.netloc.rpartition("@")[2]
    if urllib.request.proxy_bypass_environment(host, dict(known)):  # type: ignore[attr-defined]
        return ""
    return known.get(parts.scheme) or known.get("all", "")


def tls(environment: Mapping[str, str]) -> ssl.SSLContext:
    """What certificates are checked with: the machine's authorities, and the user's own. Raises BuildError."""
    context = ssl.create_default_context()
    file = next((name for name in AUTHORITIES if environment.get(name)), "")
    folders = [folder for folder in environment.get(FOLDERS, "").split(":") if folder]
    try:
        if file:
            context.load_verify_locations(cafile=environment[file])
    except OSError as error:
        raise BuildError(f"{file}: {environment[file]}: {error.strerror or error}") from None
    for folder in folders:
        context.load_verify_locations(capath=folder)
    usual = ssl.get_default_verify_paths()
    if not file and not folders and not usual.cafile and not usual.capath:  # a Python that was built elsewhere
        try:
            import certifi
        except ImportError:
            return context
        context.load_verify_locations(cafile=certifi.where())
    return context
