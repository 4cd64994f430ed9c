"""The end of a page's way: cleaned up and compared with its text layer, in a child that stays small."""

import pickle
from pathlib import Path

import pytest

from pagemill.children import in_children
from pagemill.errors import UserError
from pagemill.ocr.checkpoint import Checkpoint
from pagemill.ocr.engine import Draft
from pagemill.ocr.finishing import FinishOrder, FinishPage
from pagemill.ocr.nougat.cleanup import Cleanup
from pagemill.records import Reason, Status
from tests.unit.test_agreement import OTHER, PAGE

CHECKPOINT = Checkpoint(Path("nowhere"), "0" * 64, "tiny", "none", {})  # cleaning up asks nothing of it
DRAFTS = [
    Draft(1, PAGE, 40, Status.OK),
    Draft(2, OTHER, 40, Status.OK),
    Draft(3, PAGE[:60], 20, Status.TRUNCATED, Reason.REPETITION),
    Draft(4, PAGE, 9, Status.FAILED, Reason.REPETITION_FROM_START),
    Draft(5, "", 1, Status.OK),
]


def finished(drafts, text_layer: str):
    orders = [FinishOrder(draft, text_layer) for draft in drafts]
    return [answer.value for answer in in_children(FinishPage("nougat", CHECKPOINT), orders, workers=1)]


def test_a_child_cleans_pages_up_and_says_how_far_they_agree_with_their_text_layer():
    pages = finished(DRAFTS, PAGE)
    assert [each.page for each in pages] == [Cleanup()(draft) for draft in DRAFTS]
    right, wrong, part, nothing, empty = (each.agreement for each in pages)
    assert right == 1.0
    assert wrong < part < right
    assert nothing == empty == 0.0


def test_a_page_without_a_good_text_layer_has_no_agreement():
    assert [each.agreement for each in finished(DRAFTS, "7")] == [None] * len(DRAFTS)


def test_a_page_on_which_a_pattern_of_nougat_backtracks_for_ever_costs_itself_alone():
    orders = [FinishOrder(Draft(1, f"# {'1' * 60} times", 40, Status.OK), ""), FinishOrder(DRAFTS[0], PAGE)]
    finish = FinishPage("nougat", CHECKPOINT)
    endless, sound = in_children(finish, orders, workers=1, time_limit_seconds=3.0)
    assert endless.reason is Reason.TIME_LIMIT
    assert sound.value.agreement == 1.0


def test_the_parent_imports_nothing_of_the_clean_up_and_the_child_all_of_it():
    at_home = FinishPage("nougat", CHECKPOINT)
    arrived = pickle.loads(pickle.dumps(at_home))
    assert at_home.finish is None
    assert isinstance(arrived.finish, Cleanup)
    assert pickle.loads(pickle.dumps(arrived))(FinishOrder(DRAFTS[0], PAGE)) == arrived(FinishOrder(DRAFTS[0], PAGE))


def test_an_unknown_engine_is_named():
    with pytest.raises(UserError, match="oracle"):
        pickle.loads(pickle.dumps(FinishPage("oracle", CHECKPOINT)))
