"""AdamW that updates of a table with sparse gradients only the rows seen so far."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

# Rows copied out of the table, updated and copied back at a time: all at once needs more memory, and longer.
BLOCK = 512
MOMENTS = ("exp_avg", "exp_avg_sq")


class RowAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` (Loshchilov & Hutter 2019), fused, that also takes sparse gradients, exactly.

    A row that has never had a gradient has zero moments, and AdamW moves it by weight decay only. So moments
    are kept for the rows seen so far, and each step updates all of these (a row keeps moving by its moments
    when no token touches it) and no other. The parameters are those of the dense update, unlike
    `torch.optim.SparseAdam`, which leaves the moments of untouched rows as they are.

    State of such a table of V rows, n of them seen: `rows` (n,), in the order of their first gradient, and
    lists `exp_avg`, `exp_avg_sq` of blocks (BLOCK, D) in the same order, the last one with room for more. A
    dense gradient (a tied head that is trained) makes the state dense for good. With weight decay the whole
    table is multiplied each step.
    """

    def __init__(
        self, params: Any, lr: float, betas: tuple[float, float], eps: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        by_rows: list[tuple[nn.Parameter, Tensor]] = []
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if gradient.is_sparse and ("rows" in state or not state):
                    self._update_rows(parameter, gradient.coalesce(), state, group)
                    by_rows.append((parameter, gradient))
                    parameter.grad = None  # done
                elif gradient.is_sparse:
                    parameter.grad = gradient.to_dense()
                elif "rows" in state:
                    _make_dense(state, parameter)
        super().step()
        for parameter, gradient in by_rows:
            parameter.grad = gradient
        return loss

    def _update_rows(
        self, table_VD: nn.Parameter, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        touched, values = gradient.indices()[0], gradient.values()
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=table_VD.device)
            state["rows"], state["exp_avg"], state["exp_avg_sq"] = touched[:0], [], []
        places = _places(touched, state, table_VD)
        places, order = places.sort()
        values = values[order]
        starts = range(0, len(state["rows"]), BLOCK)
        firsts = torch.searchsorted(
            places, torch.tensor([*starts, len(table_VD)], device=places.device)
        ).tolist()
        if group["weight_decay"] > 0:
            table_VD.mul_(1 - group["lr"] * group["weight_decay"])
        for number, start in enumerate(starts):
            rows = state["rows"][start : start + BLOCK]
            mean_nD, square_nD = (state[moment][number][: len(rows)] for moment in MOMENTS)
            given = slice(firsts[number], firsts[number + 1])
            gradient_nD = torch.zeros_like(mean_nD).index_copy_(0, places[given] - start, values[given])
            rows_nD = table_VD.index_select(0, rows)
            adamw(
                [rows_nD],
                [gradient_nD],
                [mean_nD],
                [square_nD],
                [],
                [state["step"].clone()],  # counted up by each block's update
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=0.0,
                eps=group["eps"],
                maximize=False,
            )
            table_VD.index_copy_(0, rows, rows_nD)
        state["step"] += 1

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        # torch casts all state to the parameter's type; numbers of rows have to stay whole.
        saved = state_dict["state"]
        ordered = [p for group in self.param_groups for p in group["params"]]
        for index, parameter in enumerate(ordered):
            if "rows" in saved.get(index, {}):
                self.state[parameter]["rows"] = saved[index]["rows"].to(parameter.device)


def _places(touched: Tensor, state: dict[str, Any], table_VD: Tensor) -> Tensor:
    """Where in the state the rows `touched` are, after room has been made for those that are new."""
    place_V = torch.full((len(table_VD),), -1, device=table_VD.device)
    place_V[state["rows"]] = torch.arange(len(state["rows"]), device=table_VD.device)
    new = touched[place_V[touched] < 0]
    place_V[new] = len(state["rows"]) + torch.arange(len(new), device=table_VD.device)
    state["rows"] = torch.cat([state["rows"], new])
    for moment in MOMENTS:
        while BLOCK * len(state[moment]) < len(state["rows"]):
            state[moment].append(table_VD.new_zeros(BLOCK, table_VD.shape[1]))
    return place_V[touched]


def _make_dense(state: dict[str, Any], table_VD: Tensor) -> None:
    rows = state.pop("rows")
    for moment in MOMENTS:
        blocks = torch.cat([table_VD[:0], *state[moment]])[: len(rows)]
        state[moment] = torch.zeros_like(table_VD).index_copy_(0, rows, blocks)
