"BentoML with its batching on: `bentoml serve bento:Answer`."
import bentoml
import numpy as np

from model import MODEL, opened


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Answer:
    def __init__(self): self.answer = opened(MODEL)

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, images: np.ndarray) -> np.ndarray: return self.answer(images.astype(np.uint8))
