"""A user's mistake is one line, here and in any other process."""

import pickle

from pagemill.errors import UserError


def test_it_is_one_line_with_subject_reason_and_mend():
    assert str(UserError("a.pdf", "is\nempty", "give another")) == "a.pdf: is empty; give another"


def test_it_travels_between_processes():
    mistake = pickle.loads(pickle.dumps(UserError("a.pdf", "is empty", "give another")))

    assert (mistake.subject, mistake.reason, mistake.mend) == ("a.pdf", "is empty", "give another")
    assert str(mistake) == "a.pdf: is empty; give another"
