"""Half a week of a play against a real service: requests, labels, another version that takes over and one in the shadow, and not a request that fails."""
import time

import numpy as np
import pytest

from fashion_mlops.core import read_json
from fashion_mlops.loop import play, production
from fashion_mlops.loop.callers import Callers, never_silent, seen_of
from fashion_mlops.loop.labelled import labelled_rows
from fashion_mlops.loop.pairs import read_pairs
from fashion_mlops.loop.production import STREAMS, Half, Production
from fashion_mlops.loop.telling import Teller
from fashion_mlops.samples.garments import draw_garments
from fashion_mlops.service import champion, deployment
from fashion_mlops.service.traffic_changes import change_traffic
from homes import fill_home


@pytest.mark.slow
def test_versions_change_under_traffic_and_no_request_fails(tmp_path, monkeypatch):
    monkeypatch.setitem(STREAMS, "synthetic", lambda: draw_garments(600, 5))
    monkeypatch.setattr(production, "CLASSES", [f"class {number}" for number in range(10)]) # as the small models call them
    with play.lived_in(tmp_path):
        play.cleared(tmp_path)
        fill_home(versions=2)
        sent = Production("synthetic", each=4)
        with play.service("synthetic") as address:
            assert read_json(tmp_path/play.MARK)["service"]["number"]
            callers, teller = Callers(address), Teller("synthetic")
            first = play.play_half(Half(1, 0, told=1.0), sent, callers, 160, 0, teller)
            assert (first.version, first.rows, callers.failed, callers.told) == (2, 80, [], 80)
            with never_silent(callers, sent.images, every=0.05):
                champion.roll_back("synthetic", "a test") # v1 serves again
                deployment.deploy("synthetic")
                change_traffic("synthetic", {"mode": "shadow", "version": 2, "share": 1.0}, "a test")
                play._settled("synthetic", address)
            since = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
            second = play.play_half(Half(1, 0, told=1.0), sent, callers, 160, 0, teller)
            pairs = read_pairs("synthetic", 1, 2, since)
            assert (second.version, callers.failed, pairs.rows > 0) == (1, [], True)
            rows, notes = labelled_rows("synthetic", {"kind": "image", "shape": [28, 28]})
            assert (len(rows), notes) == (160, []) and np.isin(list(rows.labels), production.CLASSES).all()
        assert read_json(tmp_path/play.MARK)["service"] is None
        assert seen_of(address, "/version") == "" # ended by its number
