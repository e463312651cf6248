"""Classes or names over HTTP, around the runtime without torch: one JSON request, one JSON answer.

MODEL=work/compressed/livedoor/fast uvicorn --app-dir examples service:app
curl -H 'Content-Type: application/json' -d '{"texts": ["新型スマートフォンが発売"]}' localhost:8000/predict
"""

import dataclasses
import os
import sys
import threading
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StringConstraints

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from mobilebert_ja.runtime import load

LARGEST = 64 * 1024  # bytes of a request
model = load(os.environ.get("MODEL", "work/compressed/livedoor/onnx"))
cores = threading.BoundedSemaphore(os.cpu_count() or 1)  # one question a core; the others wait in line
app = FastAPI()


class Question(BaseModel, extra="forbid"):
    texts: Annotated[list[Annotated[str, StringConstraints(max_length=2000)]], Field(min_length=1, max_length=32)]


@app.middleware("http")
async def refuse_what_is_too_large(request: Request, call_next):
    size = LARGEST + 1 if "transfer-encoding" in request.headers else int(request.headers.get("content-length", 0))
    if size > LARGEST:
        return JSONResponse({"detail": f"A request has a Content-Length of at most {LARGEST} bytes."}, 413)
    return await call_next(request)


@app.post("/predict")
def predict(question: Question) -> list[dict]:
    with cores:
        return [dataclasses.asdict(answer) for answer in model.predict(question.texts)]
