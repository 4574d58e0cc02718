"""The INI template: every option with its variable, type, default and meaning, all commented out.

getconf can print one too, but not for an option without default, and it reads QUERN_CONFIG to do so.
"""

from __future__ import annotations

from quern.config.option import Option
from quern.config.options import REPOSITORY_OPTIONS, options_of, sections

_REPOSITORY = "; A repository that portage.repositories can name; any number of them\n;[repository:NAME]"


def template() -> str:
    """Give the text of a configuration file that sets nothing."""
    parts = [f"[{section}]\n{_lines(options_of(section), True)}" for section in sections()]
    parts.append(f"{_REPOSITORY}\n{_lines(REPOSITORY_OPTIONS, False)}")
    return "\n\n".join(parts) + "\n"


def _lines(options: tuple[Option, ...], variables: bool) -> str:
    return "\n".join(_comment(option, variables) + "\n" + _setting(option) for option in options)


def _comment(option: Option, variables: bool) -> str:
    variable = f"{option.variables[0]} - " if variables else ""
    also = f" (also read as {', '.join(option.aliases)})" if option.aliases else ""
    return f"; {variable}type={option.kind} - {option.doc}{also}"


def _setting(option: Option) -> str:
    default = option.default if option.shown is None else option.shown
    return f";{option.key} = {default}".rstrip()
