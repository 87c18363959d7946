"""Neuron scores of 1,000 preference pairs by one streaming pass, against the straightforward way; and that memory stays flat.

The straightforward way: every text padded to the model's maximum, chosen and rejected replies apart, one pass over
the data a score. All its texts cost the same, so that a tenth of them is timed and the time multiplied.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.engine.engine import Engine
from harness.engine.replica import Replica
from harness.engine.store import ScoreStore
from harness.models.base import Encoded, Resolved
from harness.models.resolve import resolve
from harness.preference import Unit, units
from harness.reading import Reading
from tests.benchmarks import corpus, folders
from tests.benchmarks.contest import interleaved, timed
from tests.benchmarks.record import Finding, Record, Setting

ROOT = Path(__file__).resolve().parents[2]
N_TEXTS = 2000
PART = 10
"""One text in so many is timed in the straightforward way."""
BATCH = 32
SKIP = 4
MAXIMUM = 512
MEGABYTE = 1e6
N_MEMORY = 20_000


def measure(setting: Setting) -> Record:
    """Speed, agreement of the two ways on the texts both have seen, and growth of memory."""
    folder = folders.encoder(setting.shared, setting.scratch)
    resolved = resolve(folder, device="cpu", dtype="float32", max_length=MAXIMUM)
    texts = corpus.units(setting.n(N_TEXTS), setting.shared)
    few = texts[: max(2 * BATCH, len(texts) // PART)]
    replica = Replica.load(resolved)
    plain = Straightforward(replica, few)
    found = _read(resolved, replica, few, setting.scratch / "agree.sqlite")
    apart = plain.difference(found)
    assert apart < 1e-3, f"the two ways differ by {apart:.2g} of the largest score, expected less than 0.001"
    stores = iter(range(10**6))
    seconds = {
        "ours": lambda: timed(lambda: _read(resolved, replica, texts, setting.scratch / f"{next(stores)}.sqlite")),
        "straightforward": lambda: timed(plain.scores) * len(texts) / len(few),
    }
    rounds = interleaved(seconds, setting.rounds)
    return Record(
        [
            rounds.speed("ours", "straightforward", at_least=5.0),
            Finding("largest difference of an attribution, relative to the largest", apart, under=1e-3),
            Finding("growth of the process in MB, ten times the texts", _growth(setting), under=200.0),
        ],
        {
            "texts": len(texts),
            "timed in the straightforward way": len(few),
            "source": corpus.source(setting.shared),
            "scores": list(plain.kinds),
            "max_length": MAXIMUM,
            "dtype": "float32",
            "device": "cpu",
            "threads": torch.get_num_threads(),
            "rounds": setting.rounds,
        },
        rounds.seconds,
    )


def weights(n: int) -> list[float]:
    """+1/pairs for chosen and -1/pairs for rejected replies, which alternate."""
    return [sign / (n / 2) for _ in range(n // 2) for sign in (1.0, -1.0)]


def _read(resolved: Resolved, replica: Any, texts: Sequence[Unit], path: Path) -> dict[str, np.ndarray]:
    """All scores from one pass of the engine."""
    with closing(ScoreStore(path)) as store:
        engine = Engine(resolved, store, open_pool=lambda _: replica)
        return engine.accumulate(texts, weights(len(texts)), Reading("attribution", skip=SKIP))


class Straightforward:
    """Plain transformers: a loop over fixed batches for each score and each side."""

    def __init__(self, replica: Replica, texts: Sequence[Unit]) -> None:
        adapter: Any = replica.adapter
        self.model, self.pad = adapter.model, adapter.pad
        encoded = [e for e in replica.encode([(u, None) for u in texts]) if isinstance(e, Encoded)]
        assert len(encoded) == len(texts), "a text could not be encoded"
        self.sides = [encoded[0::2], encoded[1::2]]
        self.layers = [m for n, m in self.model.named_modules() if n.endswith("output.dense") and "attention" not in n]
        self.kinds = {"signed_mean": _sum, "abs_mean": _absolute, "prob": _positive, "attr": None}

    def scores(self) -> dict[str, np.ndarray]:
        """(layers, neurons) by score, the mean over the tokens of both sides; `attr` from gradients."""
        found = {name: self._moment(of) for name, of in self.kinds.items() if of is not None}
        return found | {"attr": self._attribution(found["signed_mean"])}

    def difference(self, ours: dict[str, np.ndarray]) -> float:
        """Largest difference of an attribution from ours, relative to the largest there is; asserts the moments agree."""
        theirs = self.scores()
        for name, key in (("signed_mean", "mean"), ("abs_mean", "abs_mean"), ("prob", "positive")):
            assert np.allclose(theirs[name], ours[key], atol=1e-3), f"{name} differs from ours"
        return float(np.abs(theirs["attr"] - ours["attribution"]).max() / np.abs(ours["attribution"]).max())

    def _moment(self, of: Any) -> np.ndarray:
        total, tokens = 0.0, 0.0
        for side in self.sides:
            for batch in _batches(side):
                with torch.inference_mode(), self._watched() as seen:
                    _, mask = self._forward(batch)
                total = total + np.stack([of(a, mask).numpy() for a in seen])
                tokens += float(mask.sum())
        return np.asarray(total / tokens)

    def _attribution(self, mean: np.ndarray) -> np.ndarray:
        total = np.zeros(mean.shape)
        for sign, side in zip((1.0, -1.0), self.sides, strict=True):
            for batch in _batches(side):
                with self._watched(grad=True) as seen:
                    scores, mask = self._forward(batch)
                    gradients = torch.autograd.grad(sign / len(side) * scores.sum(), seen)
                for layer, (a, g) in enumerate(zip(seen, gradients, strict=True)):
                    effect = (a.detach() - torch.tensor(mean[layer], dtype=a.dtype)) * g * mask[..., None]
                    total[layer] += effect.sum((0, 1)).numpy()
        return total

    def _forward(self, batch: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores (n,) and which tokens count (n, `MAXIMUM`)."""
        shape = len(batch), MAXIMUM
        ids, types = torch.full(shape, self.pad), torch.zeros(shape, dtype=torch.long)
        real, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
        for row, e in enumerate(batch):
            ids[row, : len(e)] = torch.as_tensor(np.asarray(e.ids))
            types[row, : len(e)] = torch.as_tensor(np.asarray(e.type_ids))
            real[row, : len(e)] = 1
            mask[row, max(SKIP, e.response_start) : len(e)] = 1
        return self.model(input_ids=ids, token_type_ids=types, attention_mask=real).logits[:, 0], mask

    @contextmanager
    def _watched(self, grad: bool = False) -> Iterator[list[torch.Tensor]]:
        seen: list[torch.Tensor] = []

        def hook(_: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            seen.append(args[0].detach().requires_grad_() if grad and not args[0].requires_grad else args[0])
            return (seen[-1], *args[1:])

        handles = [layer.register_forward_pre_hook(hook) for layer in self.layers]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()


def _batches(side: Sequence[Encoded]) -> Iterator[Sequence[Encoded]]:
    return (side[i : i + BATCH] for i in range(0, len(side), BATCH))


def _sum(a: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (a * mask[..., None]).sum((0, 1))


def _absolute(a: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (a.abs() * mask[..., None]).sum((0, 1))


def _positive(a: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return ((a > 0) * mask[..., None]).sum((0, 1))


# --- memory ---------------------------------------------------------------------------------------


def _growth(setting: Setting) -> float:
    folder = folders.tiny_encoder(setting.scratch / "tiny")
    n = setting.n(N_MEMORY)
    command = [sys.executable, "-m", "tests.benchmarks.neurons", str(folder), str(setting.scratch / "m.sqlite"), str(n)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def growth(model: Path, store: Path, n: int) -> float:
    """Megabytes by which reading the neurons of `n` texts takes more, at its highest, than reading a tenth of them did."""
    import psutil

    process, seen = psutil.Process(), [0]
    texts = list(units(corpus.generated(n // 2, words=8.0)))
    engine = Engine(resolve(model), ScoreStore(store), lambda _: seen.append(process.memory_info().rss))
    reading = Reading("attribution")
    engine.accumulate(texts[: n // 10], weights(n // 10), reading)
    settled = max(seen)
    seen.clear()
    engine.accumulate(texts, weights(n), reading)
    return (max(seen) - settled) / MEGABYTE


if __name__ == "__main__":
    print(growth(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
