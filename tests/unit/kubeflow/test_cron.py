"""Cron expressions on their way to Kubeflow Pipelines and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagemill.cloud.kubeflow.cron import five_fields, six_fields
from tests.kfp_shapes import check_cron


@pytest.mark.parametrize(
    ("five", "six"),
    [
        ("0 3 * * 1", "0 0 3 * * 1"),
        ("TZ=UTC */15 * * * *", "0 */15 * * * *"),
        ("0 3 1 JAN,JUL MON-FRI", "0 0 3 1 JAN,JUL MON-FRI"),
        ("0 3 * * 7", "0 0 3 * * 0"),
        ("0 3 * * 5-7,2", "0 0 3 * * 0,5,6,2"),
        ("0 3 * * 1-7/3", "0 0 3 * * 0,1,4"),
        ("0 3 * * 0-7", "0 0 3 * * 0,1,2,3,4,5,6"),
    ],
)
def test_seconds_come_first_and_sunday_is_0(five: str, six: str) -> None:
    assert six_fields(five) == six


@given(
    st.integers(0, 59),
    st.integers(0, 23),
    st.sampled_from(["*", "1", "*/2"]),
    st.lists(st.integers(0, 7), min_size=1),
)
def test_what_is_made_is_what_the_service_takes(minute: int, hour: int, day: str, days: list[int]) -> None:
    five = f"{minute} {hour} {day} * {','.join(map(str, days))}"
    check_cron(six_fields(five))
    assert five_fields(six_fields(five)) == re.sub("7(?=[0-7,]*$)", "0", five)


def test_a_step_of_nothing_is_left_to_the_service_to_refuse() -> None:
    assert six_fields("0 3 * * 1-7/0") == "0 0 3 * * 1-7/0"


def test_what_five_fields_cannot_say_is_shown_as_it_is() -> None:
    assert five_fields("30 0 3 * * 1") == "30 0 3 * * 1"
    assert five_fields("@daily") == "@daily"
