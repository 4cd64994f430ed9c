"""Which parameters of requests the backend understands; what else there is, is refused before it does any harm."""

from typing import Annotated, TypeAlias

from fastapi import Path, Query

PipelineId: TypeAlias = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="As it was told when it was added.")]
ServerId: TypeAlias = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,255}$", description="New whenever a container starts.")
]
TaskName: TypeAlias = Annotated[str, Query(pattern=r"^[a-z_]{1,100}$", description="Only this task and what needs it.")]
DeckName: TypeAlias = Annotated[
    str, Query(min_length=1, max_length=200, pattern=r"^[^/\\\x00-\x1f\x7f]+$", description="Of the file, for people.")
]
Priority: TypeAlias = Annotated[int, Query(ge=-1000, le=1000, description="Lower comes first.")]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
After: TypeAlias = Annotated[int, Query(ge=0, lt=1 << 63, description="Only events with a greater id.")]
