"""Tests of deployment start the servers of `tests/service`."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]/"service"))
