"""Classes or names over HTTP, around the runtime without torch: one JSON request, one JSON answer.

MODEL=work/compressed/livedoor/fast uvicorn --app-dir examples service:app
curl -H 'Content-Type: application/json' -d '{"texts": ["新型スマートフォンが発売"]}' localhost:8000/predict
"""

import dataclasses
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from mobilebert_ja.runtime import load

LARGEST = 64 * 1024  # bytes of a request
model = load(os.environ.get("MODEL", "work/compressed/livedoor/onnx"))


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid")
    texts: Annotated[list[Annotated[str, StringConstraints(max_length=2000)]], Field(min_length=1, max_length=32)]


@asynccontextmanager
async def one_question_a_core(_app: FastAPI):
    anyio.to_thread.current_default_thread_limiter().total_tokens = os.cpu_count() or 1  # the others wait in line
    yield


app = FastAPI(lifespan=one_question_a_core)


@app.middleware("http")
async def refuse_what_is_too_large(request: Request, call_next):
    if int(request.headers.get("content-length") or LARGEST + 1) > LARGEST and request.method == "POST":
        return JSONResponse({"detail": f"A request has a Content-Length of at most {LARGEST} bytes."}, 413)
    return await call_next(request)


@app.post("/predict")
def predict(question: Question) -> list[dict]:
    return [dataclasses.asdict(answer) for answer in model.predict(question.texts)]
