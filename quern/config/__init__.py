"""Configuration: files and environment in, one frozen `Settings` out.

options     the table of all options
ini, environment      where their texts come from, with file and line
values, container, portage      from text to value
loading     precedence (getconf), and `Settings`
"""

from quern.config.loading import load, search
from quern.config.options import OPTIONS
from quern.config.settings import Settings
from quern.config.template import template

__all__ = ["OPTIONS", "Settings", "load", "search", "template"]
