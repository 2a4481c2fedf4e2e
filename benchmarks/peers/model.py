"What answers behind each peer: the same file, opened the same way, with one thread."
import os

import numpy as np


def opened(path: str):
    "A function from uint8 images (n, height, width) to probabilities (n, classes)."
    if path.endswith(".onnx"):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {"inputs": images})[0]
    import torch
    torch.set_num_threads(1)
    net = torch.jit.load(path).eval()
    def answer(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode(): return net(torch.from_numpy(images)).numpy()
    return answer


MODEL = os.environ.get("PEER_MODEL", "")
