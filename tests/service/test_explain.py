"""Explanations over a real socket: they add up, are the same each time, come as numbers or as a picture, and bad requests are sentences."""
import io
import json
import threading
import time

import numpy as np
from PIL import Image

from test_http import GREY, JSON, as_json, picture


def test_a_picture_is_explained_as_numbers_and_as_a_picture(server):
    running = server(model="pictures")
    status, said, _ = running.ask("/explain", picture(), content_type="image/png")
    assert status == 200 and said["class"] == "bright" and np.shape(said["pixels"]) == (28, 28)
    assert abs(np.sum(said["pixels"]) - (said["probability"] - said["average"])) < 1e-3
    again = running.ask("/explain", as_json({"image": GREY.tolist()}), content_type=JSON)[1]
    assert {**again, "id": ""} == {**said, "id": ""} # by whatever way it came
    other = running.ask("/explain?class=dark", picture(), content_type="image/png")[1]
    assert other["class"] == "dark"
    import urllib.request
    for path, accept in (("/explain?as=png", "*/*"), ("/explain", "image/png")):
        asked = urllib.request.Request(running.address + path, picture(), {"content-type": "image/png", "accept": accept})
        with urllib.request.urlopen(asked, timeout=30) as found:
            assert found.headers["content-type"] == "image/png" and Image.open(io.BytesIO(found.read())).width > 400


def test_a_row_is_explained(server):
    running = server(model="rows")
    status, said, _ = running.ask("/explain", as_json({"rows": [{"price": 95, "colour": "red"}]}), content_type=JSON)
    assert status == 200 and said["class"] == "returned" and said["columns"][0]["names"] == ["price"] and said["columns"][1]["share"] == 0
    assert abs(said["columns"][0]["share"] - (said["probability"] - said["average"])) < 1e-5


def test_bad_requests(server):
    running = server(model="pictures")
    two = as_json({"images": [GREY.tolist()]*2})
    for path, body, headers, code, words in [("/explain", two, {}, 422, "2 inputs"), ("/explain?as=pdf", two, {}, 406, "png or json"), ("/explain", two, {"accept": "text/csv"}, 406, "image/png"), ("/explain?class=dim", as_json({"image": GREY.tolist()}), {}, 422, "no class"),
                                             ("/explain", b"", {}, 400, "empty"), ("/explain", b'{"image": [1]}', {}, 422, "expected 28 rows"), ("/explain", as_json({"image": [[1], [1, 2]]*14}), {}, 422, "different lengths"), ("/explain?class=../../etc", as_json({"image": GREY.tolist()}), {}, 422, "no class")]:
        status, said, _ = running.ask(path, body, content_type=JSON, **headers)
        assert status == code and words in said["error"]["message"], (path, status, said)
    assert running.ask("/explain", b"x", content_type="text/html")[0] == 415 and running.ask("/explain")[0] == 405
    assert "fault" not in (running.home/"stderr").read_text()


def test_explanations_are_bounded_and_others_do_not_wait_for_them(server):
    running = server(model="pictures", seconds=0.002) # 4 s for an explanation
    statuses, alone = [], running.waits("/predict", picture(), content_type="image/png")
    def explain(): statuses.append(running.ask("/explain", picture(), content_type="image/png", x_timeout_seconds="2")[0])
    threads = [threading.Thread(target=explain) for _ in range(6)]
    for thread in threads: thread.start()
    time.sleep(0.2)
    waited = running.waits("/predict", picture(), content_type="image/png")
    for thread in threads: thread.join()
    assert sorted(statuses) == [429, 429, 503, 503, 503, 503] # too many; out of time
    assert np.median(waited) < 0.1 + 3*np.median(alone), (waited, alone)
