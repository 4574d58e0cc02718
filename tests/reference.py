"""The reference of all options in the manual, made from the table of options.

python -m tests.reference            print it
python -m tests.reference --write    put it into quern/manual/configuration.rst
"""

from __future__ import annotations

import sys
import textwrap

from quern.config.option import Option
from quern.config.options import REPOSITORY_OPTIONS, options_of, sections
from tests.building import CHECKOUT

PAGE = CHECKOUT / "quern/manual/configuration.rst"
BEGIN, END = ".. options begin: python -m tests.reference --write\n", ".. options end\n"


def reference() -> str:
    """The text between the two marks."""
    parts = [_section(section, options_of(section)) for section in sections()]
    return "\n" + "\n".join([*parts, _section("repository:NAME", REPOSITORY_OPTIONS)]) + "\n"


def _section(name: str, options: tuple[Option, ...]) -> str:
    return f"``[{name}]``\n\n" + "".join(map(_entry, options))


def _entry(option: Option) -> str:
    default = option.default if option.shown is None else option.shown
    default = f"``{default}``" if default else "unset"
    also = "".join(f"; also ``{alias}``" for alias in option.aliases)
    text = textwrap.fill(f"{option.doc}.", 79, initial_indent="    ", subsequent_indent="    ")
    return f"``{option.key}`` : {option.kind}, {default}{also}\n{text}\n"


def parts_of(page: str) -> tuple[str, str, str]:
    """What is before the reference, the reference, and what is after it."""
    before, _, rest = page.partition(BEGIN)
    middle, _, after = rest.partition(END)
    return before + BEGIN, middle, END + after


def main() -> None:
    """Print the reference, or write it."""
    if sys.argv[1:] == ["--write"]:
        before, _, after = parts_of(PAGE.read_text())
        PAGE.write_text(before + reference() + after)
    else:
        print(reference())


if __name__ == "__main__":
    main()
