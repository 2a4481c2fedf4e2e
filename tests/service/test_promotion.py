"""What serves is changed by one at a time, and every change is in the trail, whoever else tries at the same moment."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from fashion_mlops.core import WorkflowError
from fashion_mlops.service.audit_trail import note_change, read_trail, taken_back, trail_path
from fashion_mlops.service.champion import champion_version, promote, roll_back


@pytest.fixture
def versions(monkeypatch, tmp_path):
    "A registered model `toy` with 17 versions in a store of its own."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    from fashion_mlops.workflow.tracking import client
    client().create_registered_model("toy")
    return [int(client().create_model_version("toy", f"{tmp_path}/v{number}").version) for number in range(17)]


@pytest.mark.slow
def test_of_sixteen_at_once_one_wins_and_the_trail_knows_all_winners(versions):
    "Twenty rounds: everybody decided against the same champion, so one may move the alias, and its move is noted."
    def tried(version, current):
        try: promote("toy", version, current, f"round of v{version}")
        except WorkflowError as refusal: return str(refusal)
    winners = []
    for _ in range(20):
        current = champion_version("toy")
        others = [version for version in versions if version != current][:16]
        with ThreadPoolExecutor(16) as pool: said = list(pool.map(lambda version: tried(version, current), others))
        winners += [version for version, refusal in zip(others, said) if refusal is None]
        assert sum(refusal is None for refusal in said) == 1
        assert champion_version("toy") == winners[-1]
    trail = read_trail("toy")
    assert [change["version"] for change in trail] == winners
    assert [change["before"] for change in trail] == [None, *winners[:-1]]


@pytest.mark.slow
def test_what_another_program_moved_is_noted_and_a_rollback_stays(versions):
    "An alias moved in MLflow itself leaves no gap; what was taken back is not promoted again by the gate."
    from fashion_mlops.workflow.tracking import client
    promote("toy", 1, None, "first")
    client().set_registered_model_alias("toy", "champion", "5")
    promote("toy", 2, 5, "second")
    assert [(change["what"], change["version"]) for change in read_trail("toy")] == [("promoted", 1), ("found", 5), ("promoted", 2)]
    assert roll_back("toy", "boots for bags") == (5, 2)
    assert taken_back(read_trail("toy"), 2)["reason"] == "boots for bags"
    assert taken_back(read_trail("toy"), 5) is None
    promote("toy", 7, 5, "said by 'bob'", by="key ada")
    assert roll_back("toy", "no", by="key ada") == (5, 7) and [change["by"] for change in read_trail("toy")[-2:]] == ["key ada"]*2


@pytest.mark.slow
def test_what_somebody_saw_is_what_is_changed(versions, monkeypatch):
    "Between a look at the page and a click somebody else promotes; and a disk that is full after the alias has moved is no riddle."
    from fashion_mlops.dashboard import versions_view
    from fashion_mlops.operations import registry
    from fashion_mlops.service import champion, deployment
    from fashion_mlops.service.keys import make_key
    admin = make_key("ada", "admin")
    monkeypatch.setattr(champion, "load_version", lambda dataset, version: None)
    monkeypatch.setattr(deployment, "tried_pack", lambda dataset, version: None)
    def full(dataset): raise OSError(28, "No space left on device")
    promote("toy", 1, None, "first")
    promote("toy", 2, 1, "second")
    pair = champion.rollback_pair("toy")
    promote("toy", 3, 2, "somebody else")
    with pytest.raises(WorkflowError, match="Meanwhile v3 became the champion, and not v2"): versions_view.promote_here("toy", 4, 2, "because", admin)
    with pytest.raises(WorkflowError, match="v2 was to be taken back for v1"): versions_view.roll_back_here("toy", pair, "because", admin)
    with pytest.raises(WorkflowError, match="has no version 99"): versions_view.promote_here("toy", 99, 3, "because", admin)
    promote("toy", 1, 3, "the first again, before which nothing served")
    with pytest.raises(WorkflowError, match="v2 was to be taken back for v1"): versions_view.roll_back_here("toy", pair, "because", admin)
    promote("toy", 3, 1, "third")
    monkeypatch.setattr(deployment, "deploy", full)
    with pytest.raises(WorkflowError, match="v4 is the champion now, and services do not find it yet: .*No space left.*fashion-mlops deploy"): registry.promote_by_hand("toy", 4, 3, "because")
    assert champion_version("toy") == 4 and read_trail("toy")[-1]["version"] == 4


def test_a_line_taken_out_is_seen_and_nothing_is_changed_over_it(monkeypatch, tmp_path):
    "Two lines, the first taken out."
    monkeypatch.setenv("FASHION_MLOPS_HOME", str(tmp_path))
    for version in (1, 2): note_change("toy", "promoted", version, None, "test")
    trail_path("toy").write_bytes(trail_path("toy").read_bytes().splitlines(keepends=True)[1])
    with pytest.raises(WorkflowError, match="changed or taken out"): read_trail("toy")
