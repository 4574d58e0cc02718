"""quern: images built from source, by Portage and doit."""

__version__ = "0.1.0"
