"""Model folders: saving, loading, and the models that ship with congeal.

A model is a folder of three files: ``model.safetensors`` (the weights), ``config.json`` (what
network to build, how it was trained, its scores) and ``README.md`` (its card). Nothing is pickled,
so opening a stranger's model runs none of their code.

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
