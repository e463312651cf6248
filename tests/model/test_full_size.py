"""Teacher and student in the paper's full size: an optimizer step of each, transfer included, in bounded memory."""

import json

import pytest

from helpers.running.processes import run_code

pytestmark = pytest.mark.slow

STEP = """
import json, resource, sys
import torch
from accelerate import Accelerator
from transformers import MobileBertForPreTraining
from mobilebert_ja.training.optimizers import make_optimizers
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, pretraining_loss
from mobilebert_ja.settings import DistillSettings
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.model.ib_bert import IBBertForPreTraining
from mobilebert_ja.pretraining.transfer import TransferModel, transfer_loss_function, transfer_optimizers

torch.manual_seed(0)
settings = DistillSettings(learning_rate=1e-3, optimizer="lamb")
ids = torch.randint(15, 32768, (1, 32))
batch = {"input_ids": ids, "token_type_ids": torch.zeros_like(ids), "positions": torch.arange(5).unsqueeze(0),
         "targets": ids[:, :5], "next_sentence_label": torch.tensor([1])}
teacher = IBBertForPreTraining(mobilebert_config(32768, "ib-bert-large", attn_implementation="eager"))
student = MobileBertForPreTraining(mobilebert_config(32768, attn_implementation="eager")).eval()
if sys.argv[1] == "teacher":
    model, loss_function = PretrainingModel(teacher.train()), pretraining_loss
    optimizers = make_optimizers(model, settings, settings.optimizer)
else:
    model, guide = TransferModel(student), PretrainingModel(teacher.eval().requires_grad_(False))
    loss_function = transfer_loss_function(
        guide, settings, lambda: [23], layer_transfer=True, prediction=False, autocast=Accelerator().autocast
    )
    optimizers = transfer_optimizers(student, settings)
for optimizer in optimizers:
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
watched = model.model.mobilebert.encoder.layer[23].attention.self.query.weight
before = watched.detach().clone()
loss, values = loss_function(model, batch)
loss.backward()
for optimizer in optimizers:
    optimizer.step()
print(json.dumps({
    "loss": float(loss), "changed": float((watched.detach() - before).abs().max()),
    "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))
"""


@pytest.mark.parametrize(("who", "gib"), [("teacher", 8.0), ("student", 4.0)])
def test_a_step_at_full_size(who, gib):
    done = run_code(STEP, who)
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads(done.stdout.splitlines()[-1])
    print(facts)
    assert 0 < facts["loss"] < 1e5 and facts["changed"] > 0 and facts["gib"] < gib
