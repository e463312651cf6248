"""Classes or names over HTTP, around the runtime without torch: one JSON request, one JSON answer.

pip install fastapi uvicorn     # or, as pinned here: pip install -r requirements-demo.txt
MODEL=work/compressed/livedoor/fast uvicorn --app-dir examples service:app
curl -H 'Content-Type: application/json' -d '{"texts": ["新型スマートフォンが発売"]}' localhost:8000/predict

A request has at most 32 texts of at most 2,000 characters (4,000 after NFKC, in which ㌖ is six), and 64 KiB. What is
longer is refused with 413, what is no such question with 422, both before any text is split into words.
"""

import asyncio
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, StringConstraints

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from mobilebert_ja.common.processor import usable_cores
from mobilebert_ja.common.text.normalization import nfkc
from mobilebert_ja.runtime import load

LARGEST = 64 * 1024  # bytes of a request
LONGEST = 2000  # characters of a text
model = load(os.environ.get("MODEL", "work/compressed/livedoor/onnx"))
cores = asyncio.Semaphore(usable_cores())  # one text a core that the container allows; the others wait in line
app = FastAPI()


class Question(BaseModel, extra="forbid"):
    texts: Annotated[list[Annotated[str, StringConstraints(max_length=LONGEST)]], Field(min_length=1, max_length=32)]


def refusal(status: int, detail: str) -> Response:
    """In ASCII: what is quoted may hold half a character (a lone surrogate), which no UTF-8 can say."""
    return Response(json.dumps({"detail": detail}), status, media_type="application/json")


@app.middleware("http")
async def refuse_what_is_too_large(request: Request, call_next):
    size = request.headers.get("content-length", "0")
    told = "transfer-encoding" not in request.headers and size.isdecimal() and len(size) < 10
    if not told or int(size) > LARGEST:
        return refusal(413, f"A request has a Content-Length of at most {LARGEST} bytes.")
    return await call_next(request)


@app.exception_handler(RequestValidationError)
async def refuse_what_is_no_question(_request: Request, error: RequestValidationError):
    errors = error.errors()
    if any(each["type"] == "string_too_long" for each in errors):
        return refusal(413, f"A text has at most {LONGEST} characters.")
    return refusal(422, "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors[:3]))


@app.exception_handler(400)
async def refuse_what_cannot_be_read(_request: Request, _error: Exception):
    return refusal(422, "The body is no JSON, or none that can be read.")


@app.post("/predict", response_model=list[dict])
async def predict(question: Question) -> list[dict] | Response:
    if any(len(nfkc(text)) > 2 * LONGEST for text in question.texts):
        return refusal(413, f"A text has at most {2 * LONGEST} characters after NFKC.")
    answers = []
    for text in question.texts:  # a turn for each: whoever asks one waits for one of another's texts, not for all
        async with cores:
            answers.append(dataclasses.asdict(await run_in_threadpool(model.predict_one, text)))
    return answers
