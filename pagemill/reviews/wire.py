"""What backend, containers and their clients say to one another over HTTP: routes, headers and messages."""

import enum
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from pagemill.decks.asking import Call
from pagemill.decks.records import Record
from pagemill.decks.tasks import TASKS, TaskOutput

HEALTH_ROUTE = "/api/health"
TASK_ROUTES = {
    "visual_analysis": "/api/pipeline/visual-analysis",
    "slide_feedback": "/api/pipeline/slide-feedback",
    "extractions_and_template": "/api/pipeline/extractions-and-template",
    **{task.name: "/api/pipeline/specialized-analysis" for task in TASKS if task.name.startswith("specialized_")},
}
RUNNING_TASK_ROUTE = "/api/pipeline/tasks/{key}"
CACHE_VISUAL_ROUTE = "/api/cache/visual-results"
CACHED_VISUAL_ROUTE = "/api/cache/visual-analysis"
SAVE_RESULT_ROUTE = "/api/results/save"
SERVER_ROUTE = "/api/servers/{server_id}"  # of the backend

KEY_HEADER = "Idempotency-Key"  # requests of one key are one: the second joins the first, or gets its answer
EPOCH_HEADER = "Pagemill-Epoch"  # of requests of one key the one with the highest counts; no lower one ends the task
PIPELINE_HEADER = "Pagemill-Pipeline"  # of which pipeline a task is
STREAM_TYPE = "application/x-ndjson"  # asked for by Accept: news of a task, one a line, the last one its end
NEWS_SECONDS = 1.0  # at least so often there is a line
HEARTBEAT_SECONDS = 1.0
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")  # reached without a proxy, whatever the environment says


class ErrorKind(enum.StrEnum):
    """Why a request got no result."""

    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    NOT_ALLOWED = "not_allowed"
    RESULT_LOST = "result_lost"
    TOO_LARGE = "too_large"
    INVALID = "invalid"
    REFUSED = "refused"
    BUSY = "busy"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    BAD_ANSWER = "bad_answer"
    MODEL_UNAVAILABLE = "model_unavailable"
    DRAINING = "draining"


class Meaning(NamedTuple):
    """What an error means: as an HTTP status, and in words."""

    status: int
    text: str


MEANINGS: Mapping[ErrorKind, Meaning] = {
    ErrorKind.UNAUTHORIZED: Meaning(401, "The token is missing or another."),
    ErrorKind.NOT_FOUND: Meaning(404, "There is nothing of that name."),
    ErrorKind.NOT_ALLOWED: Meaning(405, "The route does not know this method."),
    ErrorKind.RESULT_LOST: Meaning(
        409, "What the task needs is not in the store: the task that made it has to run again."
    ),
    ErrorKind.TOO_LARGE: Meaning(413, "The body is too large."),
    ErrorKind.INVALID: Meaning(422, "The request is not understood."),
    ErrorKind.REFUSED: Meaning(422, "The deck cannot be reviewed; another attempt does not help."),
    ErrorKind.BUSY: Meaning(429, "There is no room now."),
    ErrorKind.CANCELLED: Meaning(499, "Somebody ended the task."),
    ErrorKind.INTERNAL: Meaning(500, "The server is at fault; its log says how."),
    ErrorKind.BAD_ANSWER: Meaning(502, "The model's answer is of no use."),
    ErrorKind.MODEL_UNAVAILABLE: Meaning(503, "The model does not answer, or not yet."),
    ErrorKind.DRAINING: Meaning(503, "The server is ending."),
}


class Problem(Record):
    """The body of every answer that is none, and of the last news of a task that failed."""

    error: ErrorKind
    message: str
    lost: str = ""  # the result's name in the store
    raw: tuple[str, ...] = ()  # what the model said instead of an answer
    calls: tuple[Call, ...] = ()  # that were made in vain


class Progress(Record):
    """News of a task that is running; also told when nothing changed, as a sign of life."""

    kind: Literal["progress"] = "progress"
    share: float  # 0 to 1


class Done(Record):
    """The last news of a task that has its result."""

    kind: Literal["done"] = "done"
    output: TaskOutput


class Failed(Record):
    """The last news of a task that has none."""

    kind: Literal["failed"] = "failed"
    problem: Problem


News = Annotated[Progress | Done | Failed, Field(discriminator="kind")]


Name = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Limit = Annotated[int, Field(ge=1, le=1_000_000)]


class ServerReport(Record):
    """What a container says of itself, again and again: it is registration, heartbeat and draining in one."""

    server_type: Annotated[str, Field(pattern=r"^[a-z_]{1,50}$")]  # vision_container or text_container
    url: Annotated[str, Field(max_length=255, pattern=r"^https?://[^\x00-\x20\x7f]+$")]  # where the backend reaches it
    state: Literal["warming", "active", "draining"]
    capabilities: dict[Name, bool | Count]  # true, or how many tasks at a time
    container_id: Name = ""  # by which its host knows it
    max_pipelines: Limit = 3
    max_tasks: Limit = 2
    current_pipelines: Count = 0
    models: dict[Name, Name] = Field(default_factory=dict)  # the model's identity, by capability
