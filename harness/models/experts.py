"""The neurons of a mixture of experts: what each expert's down-projection reads, one after the other as one wide layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.errors import InputError

if TYPE_CHECKING:
    import torch


def fused_experts(model: Any) -> dict[str, int]:
    """Every module that holds all experts of a layer, by path, with the number of their neurons together.

    Found by structure: what transformers lets choose how its experts are computed, and whose down-projections
    are one parameter (experts, ...). Raises InputError for experts that are kept in another way.
    """
    modules: Mapping[str, Any] = dict(model.named_modules())
    found = {path: _neurons(module) for path, module in modules.items() if _is_fused(module)}
    others = [
        path
        for path in modules
        if "experts" in path.split(".") and not any(f"{path}.".startswith(f"{fused}.") for fused in found)
    ]
    if others:
        raise InputError(
            f"{type(model).__name__} is a mixture of experts of a kind whose neurons cannot be read ({', '.join(others[:5])}); "
            "expected experts as transformers 5 keeps them, all of a layer in one module. Neurons need another model"
        )
    return found


def at_experts(experts: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Detour:
    """Have `change` applied to the neurons (tokens, experts x width) of every call of `experts`; returns what removes it again.

    Expert e's neurons are columns [e*width, (e+1)*width): what its down-projection reads, 0 at tokens that are
    not routed to it, where nothing reads what a change makes of them.
    """
    if not getattr(experts, "neuron_changes", None):
        # Where the model is spread over GPUs the module already has a forward of its own.
        experts.neuron_changes, experts.neuron_forward = [], vars(experts).get("forward")
        experts.forward = partial(_by_expert, experts)
    experts.neuron_changes.append(change)
    return Detour(experts, change)


@dataclass(frozen=True)
class Detour:
    """A change on its way through a module of experts."""

    experts: Any
    change: Callable[[torch.Tensor], torch.Tensor]

    def remove(self) -> None:
        """Take the change away; after the last one the module computes as it did before."""
        experts = self.experts
        experts.neuron_changes.remove(self.change)
        if experts.neuron_changes:
            return
        del experts.forward
        if experts.neuron_forward is not None:
            experts.forward = experts.neuron_forward


def _is_fused(module: Any) -> bool:
    down = getattr(module, "down_proj", None)
    return hasattr(module, "has_gate") and hasattr(module, "is_transposed") and getattr(down, "ndim", 0) == 3


def _neurons(experts: Any) -> int:
    n, first, second = experts.down_proj.shape
    return int(n * (first if experts.is_transposed else second))


def _by_expert(
    experts: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """Weighted sum of the chosen experts' outputs, (tokens, hidden): all up-projections, the changes, all down-projections."""
    import torch

    n = len(experts.down_proj)
    inner = hidden_states.new_zeros(len(hidden_states), n, _neurons(experts) // n)
    routed = [(e, *torch.where(top_k_index == e)) for e in top_k_index.unique().tolist()]
    up, activate = ("gate_up_proj", experts._apply_gate) if experts.has_gate else ("up_proj", experts.act_fn)
    for e, tokens, _ in routed:
        inner[tokens, e] = activate(_project(experts, up, e, hidden_states[tokens]))
    for change in experts.neuron_changes:
        inner = change(inner.flatten(1)).view_as(inner)
    total = torch.zeros_like(hidden_states)
    for e, tokens, choice in routed:
        found = _project(experts, "down_proj", e, inner[tokens, e])
        if experts.has_post_expert_norm:
            found = experts.post_expert_norm(found)
        total = total.index_add(0, tokens, (found * top_k_weights[tokens, choice, None]).to(total.dtype))
    return total


def _project(experts: Any, name: str, e: int, x: torch.Tensor) -> torch.Tensor:
    weight = getattr(experts, name)[e]
    found = x @ (weight if experts.is_transposed else weight.T)
    return found + getattr(experts, f"{name}_bias")[e] if experts.has_bias else found
