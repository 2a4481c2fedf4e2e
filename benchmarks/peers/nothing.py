"Our service with a model that knows its answer before it is asked; what is left is the service's own: `python nothing.py PORT DATASET`."
import dataclasses
import sys

from fashion_mlops.service.served_version import champion_opened
from fashion_mlops.service.server import listen, serve_pack


def opened():
    served, facts = champion_opened(sys.argv[2])
    row = served.expected["probabilities"][:1]
    return dataclasses.replace(served, answered=lambda ready: row.repeat(len(ready), 0)), facts


if __name__ == "__main__":
    with listen("127.0.0.1", int(sys.argv[1])) as sock:
        serve_pack(opened, sys.argv[2], sock, log={"keep_inputs": False, "days": 30}, quiet=True)
