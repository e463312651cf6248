"""The loop: a resumed run is the undisturbed run, to the bit; a run that diverges stops and keeps its checkpoint."""

import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from transformers import MobileBertModel

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.settings import TrainingSettings
from mobilebert_ja.training.checkpoints import Checkpoints, TrainState
from mobilebert_ja.training.curve import fingerprint_of
from mobilebert_ja.training.loop import run_training
from mobilebert_ja.training.optimizers import Muon, make_adamw, make_optimizers
from mobilebert_ja.training.pace import constant_schedule, linear_schedule

pytestmark = pytest.mark.slow  # every test here trains


def small_model() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))


def batch(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([5, number])
    x = rng.normal(size=(8, 6)).astype(np.float32)
    return {"x": x, "y": x.sum(axis=1, keepdims=True)}


def loss_function(model, content):
    loss = (model(content["x"]) - content["y"]).square().mean()
    return loss, {"twice": 2 * loss}


def train(folder, steps=12, before_step=None, resume="latest", evaluate=None, eval_seconds=0.0, **changed):
    settings = TrainingSettings(learning_rate=1e-2, logging_steps=4, resume_from_checkpoint=resume, **changed)
    model = small_model().train()
    accelerator = Accelerator(gradient_accumulation_steps=settings.gradient_accumulation_steps)
    state = run_training(
        accelerator,
        model,
        make_adamw(model, settings),
        batch,
        loss_function,
        settings,
        max_steps=steps,
        warmup_steps=3,
        folder=folder,
        before_step=before_step,
        evaluate=evaluate,
        eval_seconds=eval_seconds,
    )
    return model.state_dict(), state


def equal(first: dict, second: dict) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first)


def interrupt_at(stop: int | None):
    """A `before_step` that asks the run to end at one step."""

    def before_step(step, _optimizers):
        if step == stop:
            os.kill(os.getpid(), signal.SIGINT)

    return before_step


def test_it_learns_and_reports(tmp_path):
    _, state = train(tmp_path, steps=200)
    assert state.step == 200 and [point["step"] for point in state.history] == list(range(4, 201, 4))
    assert state.history[-1]["loss"] < 0.5 * state.history[0]["loss"]
    assert state.history[0]["twice"] == pytest.approx(2 * state.history[0]["loss"])


@pytest.mark.parametrize("accumulation", [1, 2])
def test_resume_equals_uninterrupted(tmp_path, accumulation):
    undisturbed, whole = train(tmp_path / "a", gradient_accumulation_steps=accumulation)

    def stop_at_7(step, optimizers):
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", before_step=stop_at_7, gradient_accumulation_steps=accumulation)
    # Who makes the batches changes nothing.
    resumed, state = train(tmp_path / "b", gradient_accumulation_steps=accumulation, dataloader_num_workers=2)
    assert equal(undisturbed, resumed)
    assert state.history[-1]["loss"] == whole.history[-1]["loss"]
    fresh, _ = train(tmp_path / "b", resume="none", gradient_accumulation_steps=accumulation)
    assert equal(undisturbed, fresh)


def test_evaluations_while_training_cost_no_step_and_survive_a_resume(tmp_path):
    undisturbed, whole = train(tmp_path / "a")
    seen = []

    def evaluate():
        torch.rand(3)  # a random number that is drawn here is none of the training's
        time.sleep(0.02)
        seen.append(time.perf_counter())
        return {"mlm_loss": float(len(seen))}

    often = {"evaluate": evaluate, "eval_seconds": 1e-6}
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", before_step=interrupt_at(7), **often)
    resumed, state = train(tmp_path / "b", **often)
    assert equal(undisturbed, resumed)
    assert [point["loss"] for point in state.history if point["step"] % 4 == 0] == pytest.approx(
        [point["loss"] for point in whole.history]
    )
    # The last step has its evaluation after the training; the eighth is where it was asked to end.
    assert [point["step"] for point in state.heldout_history] == [1, 2, 3, 4, 5, 6, 7, 9, 10, 11]
    assert [point["mlm_loss"] for point in state.heldout_history] == list(range(1, 11))
    assert 0.2 <= state.heldout_seconds <= state.seconds and whole.heldout_history == []


def test_evaluations_come_by_the_clock_and_count_in_the_budget(tmp_path):
    def evaluate():
        time.sleep(0.6)
        return {"mlm_loss": 1.0}

    settings, model = TrainingSettings(learning_rate=1e-2), small_model()
    state = run_training(
        Accelerator(),
        model,
        make_adamw(model, settings),
        batch,
        loss_function,
        settings,
        max_steps=10**9,
        max_train_seconds=1.5,
        folder=tmp_path,
        evaluate=evaluate,
        eval_seconds=0.5,
    )
    times = [point["seconds"] for point in state.heldout_history]
    assert times[0] >= 0.5 and len(times) in (1, 2)  # the second would end after the budget
    assert 0.6 * len(times) <= state.heldout_seconds < state.seconds
    assert state.history[-1]["step"] == state.step


def test_an_evaluation_sees_the_model_without_autocast(tmp_path):
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        settings, model = TrainingSettings(learning_rate=1e-2), small_model()
        seen = {"training": set(), "evaluating": set()}
        model[0].register_forward_hook(lambda _module, _input, output: seen[now].add(output.dtype))

        def evaluate():
            nonlocal now
            now = "evaluating"
            model(torch.zeros(1, 6))
            now = "training"
            return {}

        now = "training"
        run_training(
            Accelerator(mixed_precision="bf16"),
            model,
            make_adamw(model, settings),
            batch,
            loss_function,
            settings,
            max_steps=3,
            folder=tmp_path,
            evaluate=evaluate,
            eval_seconds=1e-6,
        )
        assert seen == {"training": {torch.bfloat16}, "evaluating": {torch.float32}}
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_a_model_is_left_as_it_was_and_can_be_trained_again(tmp_path):
    """Both trainings run in bf16 where that is asked for, and the model's forward() is its own after each."""
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        settings, model = TrainingSettings(learning_rate=1e-2), small_model()
        attributes, seen = set(vars(model)), []
        model[0].register_forward_hook(lambda _module, _input, output: seen.append(output.dtype))
        accelerator = Accelerator(mixed_precision="bf16")
        for name in ("first", "second"):
            seen.clear()
            run_training(
                accelerator,
                model,
                make_adamw(model, settings),
                batch,
                loss_function,
                settings,
                max_steps=2,
                folder=tmp_path / name,
            )
            assert seen == [torch.bfloat16] * 2 and set(vars(model)) == attributes
            assert model(torch.zeros(1, 6)).dtype == torch.float32
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def test_a_checkpoint_of_another_model_is_refused_with_a_sentence(tmp_path):
    train(tmp_path)
    settings, model = TrainingSettings(), nn.Sequential(nn.Linear(6, 1))
    optimizer = make_adamw(model, settings)
    with pytest.raises(UserError, match=r"step-12 does not fit this model .* --resume_from_checkpoint none"):
        run_training(Accelerator(), model, optimizer, batch, loss_function, settings, max_steps=2, folder=tmp_path)


def test_a_model_has_its_own_attention_before_and_after_a_training_on_a_cpu(tmp_path):
    """While it trains, attention is taken as single products: faster to go back through, and the same to rounding."""
    config = mobilebert_config(
        50, num_hidden_layers=1, hidden_size=32, intra_bottleneck_size=16, intermediate_size=32, embedding_size=16
    )
    model = nn.ModuleDict({"bert": MobileBertModel(config).eval()})
    bert, ids = model["bert"], torch.arange(20).reshape(2, 10)
    seen = []

    def loss(model, content):
        hidden = model.bert(ids).last_hidden_state
        seen.append((model.bert.config._attn_implementation, hidden.detach()))
        return hidden.square().mean(), {}

    settings = TrainingSettings(learning_rate=0.0)
    with torch.no_grad():
        before = bert(ids).last_hidden_state
    assert bert.config._attn_implementation == "sdpa"
    run_training(
        Accelerator(), model, make_adamw(model, settings), batch, loss, settings, max_steps=2, folder=tmp_path
    )
    assert [name for name, _ in seen] == ["eager", "eager"] and bert.config._attn_implementation == "sdpa"
    assert torch.allclose(seen[0][1], before, atol=1e-5)


def test_steps_of_adamw_by_hand():
    """Two steps, for in the first the betas cancel out; epsilon is large enough to be seen. A bias takes no decay."""
    model = nn.Linear(2, 1)
    settings = TrainingSettings(learning_rate=0.01, weight_decay=0.1, adam_beta1=0.8, adam_beta2=0.9, adam_epsilon=0.5)
    optimizer = make_adamw(model, settings)
    expected = [each.detach().clone() for each in model.parameters()]
    first = second = 0.0
    for step, gradient in ((1, 1.0), (2, -3.0)):
        for each in model.parameters():
            each.grad = torch.full_like(each, gradient)
        optimizer.step()
        first, second = 0.8 * first + 0.2 * gradient, 0.9 * second + 0.1 * gradient**2
        update = first / (1 - 0.8**step) / ((second / (1 - 0.9**step)) ** 0.5 + 0.5)
        expected = [each - 0.01 * (decay * each + update) for each, decay in zip(expected, (0.1, 0.0), strict=True)]
    assert all(torch.allclose(*pair, atol=1e-6) for pair in zip(model.parameters(), expected, strict=True))


@pytest.mark.parametrize("limit", [1.0, 0.0])
def test_the_gradient_that_reaches_the_optimizer_is_clipped(tmp_path, limit):
    """To the limit, if it is one; the curve tells the norm that it had."""
    settings, model = TrainingSettings(max_grad_norm=limit, logging_steps=1), small_model()
    optimizer, norms = make_adamw(model, settings), []

    def steep(model, content):
        loss, values = loss_function(model, content)
        return 1e4 * loss, values

    def look(_optimizer, _arguments, _named):
        norms.append(torch.cat([each.grad.flatten() for each in model.parameters()]).norm().item())

    optimizer.register_step_pre_hook(look)
    state = run_training(Accelerator(), model, optimizer, batch, steep, settings, max_steps=2, folder=tmp_path)
    told = [point["grad_norm"] for point in state.history]
    if limit:
        assert norms == pytest.approx([1.0] * 2, rel=1e-3) and min(told) > 1000
    else:
        assert min(norms) > 1000 and told == [0, 0]


def test_a_step_of_lamb_by_hand():
    """First step: the moments are 0.1 g and 0.02 g^2, so their ratio is the gradient's sign times 0.1 / sqrt(0.02);
    with the decay added it is scaled to the norm of the weights, times the learning rate."""
    model = nn.Linear(2, 2, bias=False)
    before = torch.tensor([[3.0, -4.0], [1.0, 2.0]])
    model.weight.data = before.clone()
    settings = TrainingSettings(learning_rate=0.01, weight_decay=0.1, adam_epsilon=1e-12)
    (optimizer,) = make_optimizers(model, settings, "lamb")
    model.weight.grad = torch.tensor([[0.5, -0.1], [2.0, 1.0]])
    optimizer.step()
    update = torch.tensor([[1.0, -1.0], [1.0, 1.0]]) * 0.1 / 0.02**0.5 + 0.1 * before
    assert torch.allclose(model.weight, before - 0.01 * before.norm() / update.norm() * update, atol=1e-6)


def assert_it_resumes(tmp_path, make_model, optimizer):
    """Interrupted at the fifth step and started again, training ends with the weights of an undisturbed run."""

    def run(folder, stop=None):
        settings = TrainingSettings(learning_rate=1e-2)
        model = make_model()
        run_training(
            Accelerator(),
            model,
            make_optimizers(model, settings, optimizer),
            batch,
            loss_function,
            settings,
            max_steps=10,
            folder=folder,
            before_step=interrupt_at(stop),
        )
        return model.state_dict()

    undisturbed = run(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", stop=4)
    assert equal(undisturbed, run(tmp_path / "b"))


@pytest.mark.parametrize("in_bf16", [True, False])
def test_muon_takes_the_steps_of_torchs_own(monkeypatch, in_bf16):
    precision = torch.bfloat16 if in_bf16 else torch.float32
    monkeypatch.setattr("mobilebert_ja.training.optimizers._precision_of_products", lambda _device: precision)
    torch.manual_seed(0)
    matrices = [torch.randn(shape) for shape in ((6, 4), (4, 6), (6, 4), (5, 5), *[(6, 4)] * 6)]
    ours, theirs = ([nn.Parameter(each.clone()) for each in matrices] for _ in range(2))
    settings = {"lr": 1e-2, "weight_decay": 0.1}
    pairs = (
        (ours, Muon(ours, **settings)),
        (theirs, torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **settings)),
    )
    for step in range(4):
        for parameters, optimizer in pairs:
            torch.manual_seed(step)
            for number, each in enumerate(parameters):
                each.grad = None if number == 2 and step == 1 else torch.randn_like(each)
            optimizer.step()
    near = 1e-4 if in_bf16 else 1e-3
    assert all(torch.allclose(one, other, atol=near) for one, other in zip(ours, theirs, strict=True))
    assert not any(torch.allclose(one, start, atol=1e-2) for one, start in zip(ours, matrices, strict=True))
    states = [optimizer.state_dict()["state"] for _, optimizer in pairs]
    assert all(torch.allclose(states[0][n]["momentum_buffer"], states[1][n]["momentum_buffer"]) for n in states[1])


def test_lamb_resumes_too(tmp_path):
    assert_it_resumes(tmp_path, small_model, "lamb")


def test_muon_resumes_too(tmp_path):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = nn.ModuleDict({"dense": nn.Linear(6, 16)}), nn.Linear(16, 1)

        def forward(self, x):
            return self.head(self.encoder["dense"](x).relu())

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Encoder()

        def forward(self, x):
            return self.body(x)

    def seeded() -> Model:
        torch.manual_seed(1)
        return Model()

    model = seeded()
    optimizers = make_optimizers(model, TrainingSettings(), "muon")
    assert [type(each).__name__ for each in optimizers] == ["Muon", "AdamW"]
    covered = sum(p.numel() for each in optimizers for group in each.param_groups for p in group["params"])
    assert covered == sum(p.numel() for p in model.parameters())
    assert_it_resumes(tmp_path, seeded, "muon")


def test_divergence_stops_with_a_sentence(tmp_path):
    def explode(step, optimizers):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["rate"] = 1e30

    with pytest.raises(UserError, match="not finite at step"):
        train(tmp_path, steps=40, before_step=explode, max_grad_norm=0.0)
    report = json.loads((tmp_path / "not_finite.json").read_text())
    number = report["micro_batch"]
    assert report["losses"][str(number)] in ("nan", "inf") and report["last_checkpoint"] is None
    assert all(np.isfinite(float(loss)) for other, loss in report["losses"].items() if int(other) < number)
    assert report["batch_sha256"] == fingerprint_of(batch(number)) != fingerprint_of(batch(number + 1))


def test_clock_budget_ends_the_run(tmp_path):
    settings = TrainingSettings(learning_rate=1e-2)
    model = small_model()
    state = run_training(
        Accelerator(),
        model,
        make_adamw(model, settings),
        batch,
        loss_function,
        settings,
        max_steps=10**9,
        max_train_seconds=0.5,
        folder=tmp_path,
    )
    assert 0 < state.step < 10**9 and state.seconds >= 0.5
    assert state.history[-1]["learning_rate"] < 0.2 * settings.learning_rate  # the schedule followed the clock


def test_an_unfinished_checkpoint_is_not_taken(tmp_path):
    train(tmp_path)
    checkpoints = Checkpoints(tmp_path, Accelerator())
    assert checkpoints.latest().name == "step-12"
    (tmp_path / "checkpoints" / "step-99.partial").mkdir()
    assert checkpoints.latest().name == "step-12"


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_offered(tmp_path):
    undisturbed, _ = train(tmp_path / "whole")

    def save_at_8_and_stop_at_10(step, optimizers):
        if step == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    folder = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        train(folder, before_step=save_at_8_and_stop_at_10, save_seconds=0.0)
    weights = folder / "checkpoints" / "step-11" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        UserError, match=r"step-11/model.safetensors is .* damaged; give .* previous to go on from step-10"
    ):
        train(folder)
    resumed, state = train(folder, resume="previous")
    assert equal(undisturbed, resumed) and state.step == 12
    with pytest.raises(UserError, match="must be one of latest, previous, none"):
        train(folder, resume="first")
    train(tmp_path / "alone", resume="previous")
    with pytest.raises(UserError, match="no checkpoint before step-12"):
        train(tmp_path / "alone", resume="previous")


def test_the_previous_checkpoint_is_an_earlier_one(tmp_path):
    checkpoints = Checkpoints(tmp_path, Accelerator())

    def there() -> list[str]:
        return sorted(path.name for path in checkpoints.folder.glob("step-*"))

    assert checkpoints.find("latest") is None and checkpoints.find("previous") is None
    for step in (4, 8, 12):
        checkpoints.save(TrainState(step=step))
    assert there() == ["step-12", "step-8"] and checkpoints.find("previous").name == "step-8"
    assert checkpoints.has_ended(12) and not checkpoints.has_ended(16)
    checkpoints.save(TrainState(step=9))  # as a run does that has gone on from step 8
    assert there() == ["step-8", "step-9"]
    assert checkpoints.find("latest").name == "step-9" and checkpoints.find("previous").name == "step-8"
    shutil.copytree(checkpoints.folder / "step-9", checkpoints.folder / "step-30")  # killed before it was removed
    assert checkpoints.find("previous").name == "step-8"


def test_a_run_whose_latest_checkpoint_is_missing_does_not_begin_anew(tmp_path):
    checkpoints = Checkpoints(tmp_path, Accelerator())
    for step in (8, 12):
        checkpoints.save(TrainState(step=step))
    shutil.rmtree(checkpoints.folder / "step-12")
    assert checkpoints.find("latest").name == "step-8"
    shutil.rmtree(checkpoints.folder / "step-8")
    with pytest.raises(UserError, match="step-12 is missing; give --resume_from_checkpoint none"):
        checkpoints.find("latest")
    assert checkpoints.find("none") is None
    for step in (8, 12):
        checkpoints.save(TrainState(step=step))
    (checkpoints.folder / "latest.json").unlink()
    assert checkpoints.find("latest").name == "step-12"


def test_linear_schedule():
    assert [linear_schedule(step, 4, 0.0) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert linear_schedule(10, 4, 0.75) == 0.25
    assert linear_schedule(10, 4, 1.0) == 0.0


def test_constant_schedule():
    assert [constant_schedule(step, 2, progress) for step, progress in ((0, 0), (1, 0), (5, 0.9))] == [0.5, 1, 1]


def test_biases_and_norms_take_no_decay():
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    decay = {id(p): g["weight_decay"] for g in make_adamw(model, TrainingSettings()).param_groups for p in g["params"]}
    assert decay[id(model[0].weight)] == 0.01
    assert decay[id(model[0].bias)] == decay[id(model[1].weight)] == decay[id(model[1].bias)] == 0.0
