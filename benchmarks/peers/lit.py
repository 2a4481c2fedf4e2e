"LitServe with its batching on: `python lit.py PORT`."
import sys

import litserve
import numpy as np

from model import MODEL, opened


class Answer(litserve.LitAPI):
    def setup(self, device): self.answer = opened(MODEL)
    def decode_request(self, request): return np.array(request["images"][0], np.uint8)
    def batch(self, inputs): return np.stack(inputs)
    def predict(self, images): return self.answer(images)
    def unbatch(self, output): return list(output)
    def encode_response(self, output): return {"probabilities": [output.tolist()]}


if __name__ == "__main__":
    server = litserve.LitServer(Answer(max_batch_size=64, batch_timeout=0.002), accelerator="cpu", timeout=60)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning", access_log=False)
