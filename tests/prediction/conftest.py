"""Models for segmenting files."""

import json

import pytest
from cases.bright import Bright

from congeal.prediction import single as single_module


@pytest.fixture
def model():
    return Bright()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two model folders, told apart by their fingerprint; loading gives a stand-in."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        config = {"format": 1, "method": "rpe", "settings": {}, "weights": name}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr(single_module, "load", lambda path, device, settings: Bright())
    return tmp_path / "one", tmp_path / "two"
