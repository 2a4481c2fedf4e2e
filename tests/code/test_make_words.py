"""What a caller of make says is one word: neither make nor a shell carries out a part of it."""
import os
import re
import subprocess

import pytest

from fashion_mlops.core import project_root

HOSTILE = "a'; touch gone; echo '$(shell echo carried out >&2)$$(id)`id`"


@pytest.mark.parametrize("target", ["all", "monitor", "serve", "loop", "dashboard", "observe", "image"])
def test_a_word_of_a_caller_is_one_word_and_no_recipe(target):
    own = {name: HOSTILE for name in ("DATASET", "SERVICE", "TARGET", "BASE")}
    done = subprocess.run(["make", "-n", "-o", "setup", target], cwd=project_root(), env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 0 and "carried out" not in done.stderr, done.stderr
    assert HOSTILE.replace("'", "'\\''") in done.stdout


def test_every_word_that_a_recipe_takes_is_taken_as_it_is():
    text = (project_root()/"Makefile").read_text()
    words = set(re.search(r"^WORDS := (.*)$", text, re.M)[1].split())
    assert set(re.findall(r"\$\(call quoted,[^()]*(?:\$\(or )?\$\((\w+)\)", text)) == words
