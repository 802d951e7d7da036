"""One update of the LSTM in PyTorch: what `learn.update` does to ours."""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from benchmarks import pytorch
from bot4jax.learn.schedule import Samples
from bot4jax.nets import zoo
from bot4jax.nets.sizes import NetSizes
from bot4jax.schema.learning import Train


class Update:
    """AdamW on one chunk, again and again; matrices decay, the rest does not."""

    def __init__(
        self, sizes: NetSizes, own: Train, batch: Samples, params: zoo.NetParams
    ) -> None:
        _, symbols, features = batch.features.shape
        self.net = pytorch.copied(sizes, features, params)
        self.memory = pytorch.fresh(sizes.lstm.widths, symbols)
        self.clip_norm = own.clip_norm
        self.x = pytorch.placed(batch.features)
        self.asked = pytorch.placed(batch.labels.astype(np.int64)).reshape(-1)
        self.optimiser = torch.optim.AdamW(
            _groups(self.net, own.weight_decay), lr=own.learning_rate
        )

    def __call__(self) -> torch.Tensor:
        """The loss before the update."""
        self.optimiser.zero_grad(set_to_none=True)
        said, _ = self.net(self.x, self.memory)
        loss = functional.nll_loss(said.reshape(len(self.asked), -1), self.asked)
        loss.backward()
        learnt = [one for one in self.net.parameters() if one.requires_grad]
        torch.nn.utils.clip_grad_norm_(learnt, self.clip_norm)
        self.optimiser.step()
        return pytorch.complete(loss.detach())


def _groups(net: torch.nn.Module, decay: float) -> list[dict]:
    learnt = [one for one in net.parameters() if one.requires_grad]
    return [
        {"params": [p for p in learnt if p.ndim == 2], "weight_decay": decay},
        {"params": [p for p in learnt if p.ndim != 2], "weight_decay": 0.0},
    ]
