"""Model folders: saving, loading, and the models shipped with congeal.

A model is a folder of three files: ``model.safetensors`` (weights), ``config.json`` (settings,
facts of the training, scores) and ``README.md`` (card). Nothing is pickled, so loading a model from
an untrusted source runs no code of it.

Example:
    >>> from congeal.models import list_models
    >>> isinstance(list_models(), list)
    True
"""

from congeal.models.config import ModelConfig, read_config
from congeal.models.device import choose_device
from congeal.models.folder import load, save_model
from congeal.models.shipped import ModelInfo, list_models, locate

__all__ = [
    "ModelConfig",
    "ModelInfo",
    "choose_device",
    "list_models",
    "load",
    "locate",
    "read_config",
    "save_model",
]
