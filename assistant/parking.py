"""Moves a model's tensors between a GPU and pinned memory of the host. Knows no role and no budget.

The host copy is made once and kept: unmodified weights that leave the GPU again are dropped there, not copied back.
Tensors keep their place in the module (only `.data` changes), 4-bit weights of bitsandbytes with their state included.
"""

from __future__ import annotations

from typing import Any

from assistant.footprints import modules_of


class Parking:
    """The host copies of one model."""

    def __init__(self, model: Any, device: str) -> None:
        """Prepare to move the torch modules in `model`, which live on `device`."""
        self._model = model
        self._tensors = [
            tensor
            for module in modules_of(model)
            for group in (module.parameters(), module.buffers())
            for tensor in group
        ]
        self._device = device
        self._host: dict[int, Any] = {}

    def leave(self) -> None:
        """Move to the host, copying only what is not there yet; a model with a method `park` first drops its caches."""
        if hasattr(self._model, "park"):
            self._model.park()
        for tensor in self._tensors:
            if id(tensor) not in self._host:
                copy = tensor.data.to("cpu", copy=True)
                self._host[id(tensor)] = copy.pin_memory() if self._device == "cuda" else copy
            tensor.data = self._host[id(tensor)]
            self._move_state(tensor, "cpu")

    def come_back(self) -> None:
        """Move to the device; the host copies stay."""
        for tensor in self._tensors:
            tensor.data = self._host[id(tensor)].to(self._device, copy=True, non_blocking=True)
            self._move_state(tensor, self._device)

    @staticmethod
    def _move_state(tensor: Any, device: str) -> None:
        if getattr(tensor, "quant_state", None) is not None:
            tensor.quant_state.to(device)
