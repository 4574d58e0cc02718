"""The page of `doit size:NAME --html`: tables, and a map that a script in the page draws from the data beside them.

Names of files are strangers'. They get into the page as text alone: escaped in the tables, as a JSON block for the
script, which sets text and no markup; and the page's own policy runs no other script, and loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from quern.questions.measured import Measured, spelt
from quern.questions.size_text import NOBODYS, amount, idle, moved

TEMPLATE = Path(__file__).with_name("size.html")
SHOWN = 40  # rows of folders and files

Cell = tuple[str, str]  # the attributes of a table's cell, and what is in it, as HTML


def text(name: str, measured: Measured) -> str:
    """The page for the image `name`."""
    total = measured.total
    packed = f"{amount(measured.tarball)} as a tarball. " if measured.tarball is not None else ""
    notes = "".join(f"{line}. ".replace("`", "") for line in moved(name, measured))
    template = TEMPLATE.read_text(encoding="utf-8")
    values = {
        "policy": _policy(template),
        "title": escape(f"{name}: {amount(total.size)} in {total.files} files"),
        "subtitle": escape(f"{packed}{notes}A click, or Enter, goes into an area; Escape goes back."),
        "tables": "\n".join([_packages(measured), _rules(measured), _folders(measured), _files(measured)]),
        "data": _data(name, measured),
    }
    return re.sub(r"@(policy|title|subtitle|tables|data)@", lambda found: values[found[1]], template)


def _policy(template: str) -> str:
    """A content security policy under which the template's own script and style alone count."""
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        rules.append(f"{directive} 'sha256-{digest}'")
    return "; ".join(rules)


def _data(name: str, measured: Measured) -> str:
    """What the script needs: {"image", "nobodys", "packages": [...], "files": [[path, bytes, index of package]]}."""
    packages = list(measured.packages)
    numbers = {package: number for number, package in enumerate(packages)}
    files = [[spelt(file.path), file.size, numbers[file.package]] for file in measured.files if file.size]
    data = {"image": name, "nobodys": NOBODYS, "packages": packages, "files": files}
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # no name ends the block


def _packages(measured: Measured) -> str:
    rows = [
        [_number(amount(volume.size)), _number(str(volume.files)), ("", _swatch(number) + escape(package or NOBODYS))]
        for number, (package, volume) in enumerate(measured.packages.items())
    ]
    return _table("Packages", ["Size", "Files", "Package"], rows)


def _rules(measured: Measured) -> str:
    rules = sorted(measured.rules, key=lambda rule: (-rule["bytes"], rule["rule"]))
    rows = [
        [_number(amount(rule["bytes"])), _number(str(rule["files"])), ("", escape(spelt(rule["rule"])))]
        for rule in rules
        if rule["paths"]
    ]
    own, general = idle(measured)
    rows += [[_number("nothing"), _number("0"), ("", escape(f"{spelt(rule)} (strip.paths)"))] for rule in own]
    rows += [[_number("nothing"), _number("0"), ("", escape(", ".join(general)))]] if general else []
    removed = f"{amount(measured.removed['bytes'])} in {measured.removed['files']} files"
    return _table(f"Removed by [strip]: {removed}", ["Size", "Files", "Rule"], rows)


def _folders(measured: Measured) -> str:
    rows = [
        [_number(amount(volume.size)), _number(str(volume.files)), ("", escape(spelt(path)))]
        for path, volume in list(measured.folders().items())[:SHOWN]
    ]
    return _table("Folders, with all below them", ["Size", "Files", "Folder"], rows)


def _files(measured: Measured) -> str:
    rows = [
        [_number(amount(file.size)), ("", escape(spelt(file.path))), ("", escape(file.package or NOBODYS))]
        for file in measured.biggest()[:SHOWN]
    ]
    return _table("Biggest files", ["Size", "File", "Package"], rows)


def _number(text: str) -> Cell:
    return ' class="n"', escape(text)


def _swatch(number: int) -> str:
    return f'<span class="swatch" data-package="{number}"></span>'


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[Cell]]) -> str:
    """A section with a table; `title` and `heads` are text, cells are HTML."""
    head = "".join(f'<th scope="col"{_aligned(each)}>{escape(each)}</th>' for each in heads)
    body = "".join(f"<tr>{''.join(f'<td{how}>{what}</td>' for how, what in row)}</tr>\n" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"
    return f"<section><h2>{escape(title)}</h2>{table}</section>"


def _aligned(head: str) -> str:
    return ' class="n"' if head in ("Size", "Files") else ""
