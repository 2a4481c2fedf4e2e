"A plain FastAPI app as a tutorial would write it: `uvicorn plain:app`."
import os

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

from model import MODEL, opened

if os.path.isdir(MODEL): # a candidate: the whole champion through the library
    from fashion_mlops.service.predictor import load_predictor
    answer = load_predictor(MODEL, threads=1).predict_proba
else: answer = opened(MODEL)

app = FastAPI()


class Images(BaseModel):
    images: list[list[list[int]]]


@app.post("/predict")
def predict(asked: Images): return {"probabilities": answer(np.array(asked.images, np.uint8)).tolist()}


@app.get("/ready")
def ready(): return {}
