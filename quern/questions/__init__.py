"""What a user can ask about an image, each a task of its own: `doit lock:NAME`.

A question is answered from the project and the work folder as they are. It may run the steps it names, but leaves what
they made as it is.
"""

from quern.questions.lock import LOCK

QUESTIONS = (LOCK,)

__all__ = ["LOCK", "QUESTIONS"]
