import numpy as np
import pytest

import congeal
from congeal.errors import CongealError
from congeal.models import list_models, locate, save_model, shipped


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty folder in place of the shipped models."""
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "shipped"


def test_what_ships_is_listed_with_its_licence_and_size(shelf, model):
    save_model(model, shelf / "nuclei", card="# Nuclei", what="nuclei", licence="Apache-2.0")
    (shelf / "notes").mkdir()
    (found,) = list_models()
    assert (found.name, found.what, found.licence) == ("nuclei", "nuclei", "Apache-2.0")
    assert found.size == (shelf / "nuclei" / "model.safetensors").stat().st_size
    assert found.card == "# Nuclei"
    assert len(found.fingerprint) == 16


def test_a_package_without_models_says_how_to_make_one(shelf):
    assert list_models() == []
    with pytest.raises(CongealError, match="has no shipped model, so train one"):
        locate("nuclei")


def test_a_misspelt_name_gets_the_nearest(shelf, model):
    save_model(model, shelf / "nuclei", card="")
    with pytest.raises(CongealError, match="did you mean 'nuclei'"):
        locate("nucli")


def test_a_folder_here_wins_over_a_shipped_name(shelf, model, tmp_path, monkeypatch):
    save_model(model, shelf / "nuclei", card="")
    assert locate("nuclei") == shelf / "nuclei"
    monkeypatch.chdir(tmp_path)
    save_model(model, "nuclei", card="")
    assert locate("nuclei").resolve() == tmp_path / "nuclei"


def test_a_folder_of_images_does_not_hide_the_shipped_model(shelf, model, tmp_path, monkeypatch):
    save_model(model, shelf / "nuclei", card="")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nuclei").mkdir()
    assert locate("nuclei") == shelf / "nuclei"


@pytest.mark.parametrize(
    ("make", "said"),
    [("file", "found a file"), ("folder", "missing"), ("nothing", "found nothing")],
)
def test_what_is_no_model_folder_is_told_apart(shelf, tmp_path, make, said):
    path = tmp_path / "thing"
    if make == "file":
        path.write_text("")
    elif make == "folder":
        path.mkdir()
    with pytest.raises(CongealError, match=said):
        locate(path)


@pytest.mark.parametrize("info", list_models(), ids=lambda info: info.name)
def test_shipped_models_are_small_loadable_and_state_their_source(info):
    assert info.megabytes < 4
    assert info.licence
    assert info.metrics["matching_ap@0.5"] > 0.8
    assert f"--output {info.name}" in info.card  # the command that made it
    assert congeal.load(info.name).segment(np.zeros((40, 50), np.uint8)).shape == (40, 50)


@pytest.mark.parametrize("spoilt", [(slice(0, 2), slice(None)), (slice(None), slice(-3, None))])
def test_a_burnt_in_bar_or_a_saturated_rim_hides_no_cells(spoilt):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:128, :128]
    places = [(y, x) for y in range(16, 120, 24) for x in range(16, 120, 24)]
    cells = np.any([(rows - y) ** 2 + (columns - x) ** 2 < 60 for y, x in places], axis=0)
    image = (400 + 2000 * cells + rng.normal(0, 60, cells.shape)).astype(np.uint16)
    model = congeal.load("nuclei")
    assert len(congeal.segment(model, image)) == 25
    image[spoilt] = 65535
    found = congeal.segment(model, image)
    centres = {int(found.labels[y, x]) for y, x in places} - {0}
    assert len(centres) == 25
