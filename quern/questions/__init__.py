"""What a user can ask about an image, each a task of its own: `doit explain:NAME`.

A question is answered from the project and the work folder as they are. It may run the steps it names, but leaves what
they made as it is.
"""

from quern.questions.explain import EXPLAIN
from quern.questions.lock import LOCK
from quern.questions.shell import SHELL
from quern.questions.size import SIZE
from quern.questions.verify import VERIFY

QUESTIONS = (EXPLAIN, LOCK, SHELL, SIZE, VERIFY)

__all__ = ["EXPLAIN", "LOCK", "QUESTIONS", "SHELL", "SIZE", "VERIFY"]
