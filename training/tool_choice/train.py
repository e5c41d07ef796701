"""Trains the LoRA adapter (arXiv:2106.09685) with which the embedded model chooses tools, and ships it."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Trainer, TrainerCallback, TrainingArguments

from assistant.chat_format import family_of
from training.pieces import draw_curve
from training.tool_choice.base import load
from training.tool_choice.batches import IGNORED, Packs, collate
from training.tool_choice.calibrate import calibrate
from training.tool_choice.evaluate import evaluate as figures
from training.tool_choice.examples import Writer
from training.tool_choice.head import train_head

log = logging.getLogger(__name__)
SEED = 7
STEPS = 2400
PACKS = 2  # a step, one after the other: together they would be padded
RATE = 6e-4
RANK = 16
LOGGED = 20  # steps between two losses of the curve
SHIPPED = Path(__file__).parents[2] / "models" / "tool_choice"


class ChoiceTrainer(Trainer):  # type: ignore[misc]  # transformers is not checked
    """Learns the answers only, names with more weight; the head is applied to nothing else, it is a fifth of a pass."""

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **_: Any
    ) -> torch.Tensor:
        """Return the weighted mean loss of the tokens that have labels."""
        inner = model.get_base_model()
        told = {key: inputs[key] for key in ("input_ids", "position_ids", "attention_mask")}
        states = inner.model(**told, use_cache=False).last_hidden_state[:, :-1]
        labels, weights = inputs["labels"][:, 1:], inputs["weights"][:, 1:]
        asked = labels != IGNORED
        logits = inner.lm_head(states[asked]).float()
        losses = torch.nn.functional.cross_entropy(logits, labels[asked], reduction="none")
        return (losses * weights[asked]).sum() / weights[asked].sum()


class Deadline(TrainerCallback):  # type: ignore[misc]  # transformers is not checked
    """Stops a piece of the training in time, with a checkpoint."""

    def __init__(self, minutes: float) -> None:
        """Stop after `minutes`."""
        self._end = time.monotonic() + 60 * minutes

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at the clock."""
        if time.monotonic() > self._end:
            control.should_save = control.should_training_stop = True


def train(work: Path, minutes: float) -> int:
    """Train for `minutes`, going on from the last checkpoint in `work`; at the end write `models/tool_choice`."""
    tokenizer, model = load()
    model = get_peft_model(
        model,
        LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=STEPS,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=PACKS,
        learning_rate=RATE,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.03},
        warmup_steps=40,
        max_grad_norm=1.0,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=LOGGED,
        save_steps=100,
        save_total_limit=2,
        remove_unused_columns=False,
        report_to="none",
        seed=SEED,
        disable_tqdm=True,
    )
    packs = Packs(Writer(SEED), STEPS * PACKS, tokenizer, family_of(tokenizer.get_vocab()))
    trainer = ChoiceTrainer(model, arguments, collate, packs, callbacks=[Deadline(minutes)])
    trainer.model_accepts_loss_kwargs = False  # the loss is a mean, so the mean of the packs is taken
    trainer.train(resume_from_checkpoint=any(work.glob("checkpoint-*")))
    if trainer.state.global_step < STEPS:
        log.info("%d of %d steps are done; run the same command again", trainer.state.global_step, STEPS)
        return 0
    ship(model)
    draw_curve([(row["step"], row["loss"]) for row in trainer.state.log_history if "loss" in row], SHIPPED / "loss.png")
    train_head(SHIPPED)
    calibrate(SHIPPED)
    return 0


def evaluate() -> int:
    """Print what the shipped adapter reaches."""
    for figure in figures(SHIPPED):
        sys.stdout.write(json.dumps(figure) + "\n")
        sys.stdout.flush()
    return 0


def ship(model: PeftModel) -> None:
    """Write the adapter to `models/tool_choice`, in half precision."""
    model.to(torch.float16)
    model.peft_config["default"].base_model_name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"
    model.save_pretrained(SHIPPED)
    log.info("written to %s", SHIPPED)
