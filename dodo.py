"""Every folder of profiles/ with a quern.conf is an image: `doit list`, `doit image:NAME`."""

from collections.abc import Iterator

from quern.tasks import DOIT_CONFIG, project_tasks  # noqa: F401 - doit reads DOIT_CONFIG


def task_images() -> Iterator[dict[str, object]]:
    return project_tasks(__file__)
