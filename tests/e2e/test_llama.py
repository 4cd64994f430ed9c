"""Questions to a real llama.cpp: words, pictures and schemas go over its wire and answers of the form come back.

What the answers say proves nothing: the model is the smallest that pip has, and its projector is of random numbers.
"""

import dataclasses
import io
from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
from PIL import Image
from pydantic import BaseModel, Field

from pagemill.decks.asking import Question
from pagemill.decks.models.chat import ChatModel
from pagemill.errors import UserError
from pagemill.reviews.llama import ALIAS, running_llama
from pagemill.reviews.projector import PATCHES


class Slide(BaseModel):
    """What is on a slide."""

    title: Annotated[str, Field(max_length=12)]
    kind: Literal["cover", "team", "market"]
    is_dense: bool
    page: int | None


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (160, 90), "navy").save(content, "PNG")
    return content.getvalue()


QUESTION = Question(system="You describe slides.", text="Describe this slide: Our team.", answer=Slide, max_tokens=100)
SHOWING = dataclasses.replace(QUESTION, images=(picture(),))


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    with running_llama("--threads", "1") as url:
        yield url


def test_it_becomes_ready_and_says_what_it_serves(llama: str) -> None:
    model = ChatModel(llama, ALIAS)
    assert model.ready()
    assert model.identity.startswith(f"{ALIAS}@")
    assert model.identity == ChatModel(llama, ALIAS).identity


def test_it_holds_an_answer_to_the_schema(llama: str) -> None:
    answer = ChatModel(llama, ALIAS).ask(QUESTION)
    (call,) = answer.calls
    assert isinstance(answer.value, Slide)
    assert call.error == ""
    assert 10 < call.tokens_in < 100
    assert 10 < call.tokens_out <= 100


def test_the_likeliest_answer_is_the_same_every_time(llama: str) -> None:
    first, second = (ChatModel(llama, ALIAS).ask(QUESTION) for _ in range(2))
    assert first.value == second.value


def test_a_picture_reaches_the_model(llama: str) -> None:
    seen = ChatModel(llama, ALIAS).ask(SHOWING)
    unseen = ChatModel(llama, ALIAS).ask(QUESTION)
    assert isinstance(seen.value, Slide)
    assert seen.calls[0].tokens_in >= unseen.calls[0].tokens_in + PATCHES


def test_a_question_that_is_too_long_is_refused_for_that(llama: str) -> None:
    with pytest.raises(UserError, match="longer than its context"):
        ChatModel(llama, ALIAS).ask(dataclasses.replace(QUESTION, text="word " * 9000))


def test_pictures_are_refused_where_there_is_no_projector() -> None:
    with running_llama("--threads", "1", "--blind") as url, pytest.raises(UserError, match="does not see pictures"):
        ChatModel(url, ALIAS).ask(SHOWING)
