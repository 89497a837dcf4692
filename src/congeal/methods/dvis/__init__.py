"""Deep Variational Instance Segmentation (Yuan et al., NeurIPS 2020)."""

from congeal.methods.dvis.config import DVISConfig
from congeal.methods.dvis.model import DVIS

__all__ = ["DVIS", "DVISConfig"]
