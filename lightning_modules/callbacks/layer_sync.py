"""``trainer.sync_batchnorm`` for networks under gradient penalties, on any device."""

from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch.nn import Module

from lightning_modules.networks.sync_norm import over_ranks


class RankBatchNormSync(TorchSyncBatchNorm):
    """Normalises over all ranks' batches by ``RankBatchNorm``, where Lightning would take PyTorch's."""

    def apply(self, model: Module) -> Module:
        """Convert every batch normalisation of ``model``, in place."""
        return over_ranks(model)

    def revert(self, model: Module) -> Module:
        """Leave ``model``: off the ranks its normalisation is plain anyway."""
        return model
