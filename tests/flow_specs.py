"""Specs of pipelines for tests: one that forks and joins, and any there can be."""

from hypothesis import strategies as st

from pagemill.flow.spec import PipelineSpec, TaskSpec


def task(name: str, *needs: str, **others) -> TaskSpec:
    return TaskSpec(name, needs, **{"retry_delay_seconds": 0.0, **others})


# Bread: what is ground is kneaded, the oven warms meanwhile; crumbs are counted for its own sake.
BREAD = PipelineSpec(
    "bread",
    (
        task("grind", weight=2, capability="mill"),
        task("heat", weight=1, capability="oven"),
        task("knead", "grind", weight=3, capability="mill", attempts=2),
        task("bake", "knead", "heat", weight=3, capability="oven"),
        task("count", "grind", weight=1),
    ),
)


@st.composite
def specs(draw) -> PipelineSpec:
    """Any spec of up to 7 tasks."""
    tasks: list[TaskSpec] = []
    for number in range(draw(st.integers(1, 7))):
        earlier = [each.name for each in tasks]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        weight = draw(st.floats(1e-3, 1e3))
        tasks.append(task(f"task{number}", *needs, weight=weight, attempts=draw(st.integers(1, 3))))
    return PipelineSpec("any", tuple(draw(st.permutations(tasks))))
