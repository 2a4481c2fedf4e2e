"""A real server on a free port of loopback, ended with its test."""
import signal

import pytest

from running import Running


@pytest.fixture
def server(tmp_path):
    started = []
    def start(**asked):
        started.append(Running(tmp_path, **asked))
        return started[-1]
    yield start
    for one in started:
        if one.process.poll() is None: one.end(signal.SIGKILL)
