"""`Errands`: one after the other, away from the asker, and one that fails does not end the others."""

import threading

from cnnviz_widgets.views._map_errands import Errands


def test_an_errand_that_fails_is_logged_and_the_next_one_done(caplog):
    errands, done = Errands(), threading.Event()

    def fails():
        raise ValueError("no picture")

    for number in range(2):
        errands.put(("fails", number), fails)
    errands.put("works", done.set)
    assert done.wait(30)
    assert [record.exc_info[1].args for record in caplog.records] == [("no picture",)] * 2
    done.clear()
    errands.put("later", done.set)
    assert done.wait(30)
