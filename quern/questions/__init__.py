"""What a user can ask about an image, each a task of its own: `doit explain:NAME`.

A question is answered from the project and the work folder as they are. It may run the steps it names, but leaves what
they made as it is. A chore is asked of all images of the project together: `doit prune`.
"""

from quern.questions.explain import EXPLAIN
from quern.questions.table import BINHOST, DIFF, LOCK, PRUNE, SBOM, SHELL, SIZE, TRY, VERIFY, WHY

QUESTIONS = (BINHOST, DIFF, EXPLAIN, LOCK, SBOM, SHELL, SIZE, TRY, VERIFY, WHY)
CHORES = (PRUNE,)

__all__ = [
    "BINHOST",
    "CHORES",
    "DIFF",
    "EXPLAIN",
    "LOCK",
    "PRUNE",
    "QUESTIONS",
    "SBOM",
    "SHELL",
    "SIZE",
    "TRY",
    "VERIFY",
    "WHY",
]
