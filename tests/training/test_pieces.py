"""Training in pieces ends where training at once does, and an interruption loses nothing."""

from pathlib import Path

import pytest
import torch
from PIL import Image as Pictures

from training.pieces import LOGGED, Plan, draw_curve, report, train

PLAN = Plan(steps=60, rate=0.05, warm_up=5, averaged=0.9)
LONG = 10.0  # minutes; more than any of this takes


def line() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 1)


def loss_of(model: torch.nn.Linear, seen: list[int]):
    """Return the loss of a step: how far the model is from the sum of what it is given."""

    def loss(step: int) -> torch.Tensor:
        seen.append(step)
        batch = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
        return (model(batch).float().squeeze(1) - batch.sum(1)).square().mean()

    return loss


def losses(work: Path) -> list[tuple[int, float]]:
    """Return what a training logged, as its checkpoint has it."""
    return torch.load(work / "checkpoint.pt", weights_only=True)["losses"]


def test_it_learns_and_says_that_it_is_done(tmp_path: Path):
    model = line()
    assert train(model, loss_of(model, []), PLAN, tmp_path, LONG)
    (first, begun), (last, ended) = losses(tmp_path)
    assert (first, last) == (LOGGED, 2 * LOGGED)
    assert ended < begun / 3


def test_pieces_are_as_good_as_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, seen = line(), []
    train(whole, loss_of(whole, []), PLAN, tmp_path / "whole", LONG)
    for _ in range(3):
        piece = line()
        clock = iter(range(1000))
        with monkeypatch.context() as patched:
            patched.setattr("time.monotonic", lambda clock=clock: float(next(clock)))
            done = train(piece, loss_of(piece, seen), PLAN, tmp_path / "pieces", minutes=1)  # a minute of such seconds
    assert done
    assert seen == list(range(PLAN.steps))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), piece.parameters(), strict=True))
    assert losses(tmp_path / "pieces") == losses(tmp_path / "whole")


def test_the_mean_of_the_weights_is_what_remains(tmp_path: Path):
    plain, mean = line(), line()
    train(plain, loss_of(plain, []), Plan(steps=60, rate=0.05, warm_up=5), tmp_path / "plain", LONG)
    train(mean, loss_of(mean, []), PLAN, tmp_path / "mean", LONG)
    assert not torch.equal(plain.weight, mean.weight)
    assert torch.allclose(plain.weight, mean.weight, atol=0.3)


def test_the_rate_rises_and_falls():
    rates = [PLAN.rate_at(step) for step in range(PLAN.steps)]
    assert rates[: PLAN.warm_up + 1] == sorted(rates[: PLAN.warm_up + 1])
    assert max(rates) == PLAN.rate
    assert rates[PLAN.warm_up :] == sorted(rates[PLAN.warm_up :], reverse=True)
    assert rates[-1] < PLAN.rate / 20


def test_the_curve_is_drawn(tmp_path: Path):
    draw_curve([(step, 5.0 / step) for step in range(1, 100)], tmp_path / "loss.png")
    picture = Pictures.open(tmp_path / "loss.png").convert("RGB")
    blue = [
        (x, y) for x in range(picture.width) for y in range(picture.height) if picture.getpixel((x, y)) == (40, 90, 180)
    ]
    assert blue[0][1] < blue[-1][1]  # it falls from left to right


def test_a_training_reports_how_it_went(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    model = line()
    train(model, loss_of(model, []), PLAN, tmp_path, LONG)
    report(tmp_path, tmp_path)
    with Pictures.open(tmp_path / "loss.png") as curve:
        assert curve.size[0] > 100
    assert "after 0.0 hours" in caplog.text
