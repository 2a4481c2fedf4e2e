"""A server whose model is made up here: fast, slow on demand, of pictures or of rows. Run as a program it prints its address and answers until it is told to end."""
import sys
import time

import numpy as np


class Pictures:
    "Says how bright a picture is."
    dataset, kind, version, name, classes = "shades", "image", 7, "by hand", ["dark", "bright", "between"]
    threshold, conformal = None, {"threshold": 0.2, "coverage": 0.9}
    about = {"dataset": dataset, "kind": kind, "classes": classes, "synthetic": True, "input": {"kind": kind, "shape": [28, 28], "preparation": {}}}

    def __init__(self, seconds: float = 0): self.seconds = seconds

    def answered(self, ready):
        if self.seconds: time.sleep(self.seconds*len(ready))
        share = ready.reshape(len(ready), -1).mean(1)/255
        return (np.stack([1 - share, share, np.full(len(ready), 0.5)], 1)/1.5).astype(np.float32)


class Prepared(Pictures):
    "Takes pictures of any size."
    about = {"input": {"shape": [28, 28], "preparation": {"range": [0, 255]}}}


class Rows:
    "Says how dear an order is."
    dataset, kind, version, name, classes = "orders", "table", 2, "by hand", ["kept", "returned"]
    threshold, conformal = 0.4, None
    about = {"dataset": dataset, "kind": kind, "classes": classes, "input": {"kind": kind, "columns": [{"name": "price", "type": "numeric", "example": 12.5}, {"name": "colour", "type": "category", "levels": ["red", "blue"], "example": "red"}]}}

    def answered(self, ready):
        share = np.nan_to_num(np.clip(ready.price.to_numpy()/100, 0, 1), nan=0.3) # as of a price that is not known
        return np.stack([1 - share, share], 1).astype(np.float32)


if __name__ == "__main__":
    import json
    from fashion_mlops.service.server import listen, serve_pack
    asked = json.loads(sys.argv[1])
    if dataset := asked.pop("dataset", None): # a real one, with packs
        from fashion_mlops.cli import main
        sys.exit(main(["serve", "--dataset", dataset, "--port", "0", "--quiet", *asked.pop("words", [])]))
    made = {"pictures": Pictures, "rows": Rows, "prepared": Prepared}[asked.pop("model")]
    seconds = asked.pop("seconds", 0)
    served = made(seconds) if seconds else made()
    with listen("127.0.0.1", 0) as sock:
        sys.exit(serve_pack(lambda: (served, {}), served.dataset, sock, quiet=asked.pop("quiet", True), **asked))
