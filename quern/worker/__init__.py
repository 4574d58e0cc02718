"""What runs beside the image root, where quern and its dependencies are not installed.

Standard library only, Python 3.9 or later: in a builder container this folder alone is mounted, read-only. Each verb
is a plain function from JSON-able arguments to a JSON-able dict; modules here import each other relatively.
"""

IMPOSSIBLE = 125  # exit status of `confine` where there is no way to; why is on standard error


class WorkerError(ValueError):
    """A verb could not do what it was asked; str() is the whole message to the user."""
