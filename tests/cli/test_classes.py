"""Classes from a COCO file through a training to every file that is written."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths

SIDE = 64  # px
KINDS = ("disc", "square")


def draw(rng):
    """Bright discs and upright squares on gray: image, masks and kinds."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image, masks, kinds = rng.normal(80, 6, (SIDE, SIDE)), [], []
    while len(masks) < 3:
        radius, kind = rng.uniform(7, 11), int(rng.integers(2))
        down, right = rng.uniform(radius, SIDE - radius, 2)
        away = np.maximum(abs(y - down), abs(x - right)) / 0.886  # as large as the disc
        mask = (away if kind else np.hypot(y - down, x - right)) <= radius
        if not any((mask & other).any() for other in masks):
            masks.append(mask)
            kinds.append(kind)
            image[mask] += rng.uniform(60, 90)
    return image.clip(0, 255).astype(np.uint8), masks, kinds


def write(folder, count, seed):
    """A folder with images and annotations.json."""
    (folder / "images").mkdir(parents=True)
    rng, images, annotations = np.random.default_rng(seed), [], []
    for number in range(count):
        image, masks, kinds = draw(rng)
        name = f"{number:02}.png"
        Image.fromarray(image).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "height": SIDE, "width": SIDE})
        for mask, kind in zip(masks, kinds, strict=True):
            runs = run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))
            one = {"id": len(annotations) + 1, "image_id": number, "category_id": kind + 1}
            one |= {"iscrowd": 0, "area": int(mask.sum())}
            one |= {"bbox": run_lengths.toBbox(runs).tolist()}
            runs = {"size": runs["size"], "counts": runs["counts"].decode()}
            annotations.append(one | {"segmentation": runs})
    categories = [{"id": index, "name": name} for index, name in enumerate(KINDS, 1)]
    told = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Training images, and others."""
    root = tmp_path_factory.mktemp("classes")
    return write(root / "train", 24, 0), write(root / "unseen", 24, 1)


def same_images(truth, found):
    """The results with the image numbers of the truth."""
    number = {one["file_name"]: one["id"] for one in truth["images"]}
    renamed = {one["id"]: number[one["file_name"]] for one in found["images"]}
    told = [one | {"image_id": renamed[one["image_id"]]} for one in found["annotations"]]
    return found | {"annotations": told}


def quality(truth, one):
    """IoU of an object found with the best true one of its class."""
    same = [true for true in truth["annotations"] if true["image_id"] == one["image_id"]]
    alike = [t["segmentation"] for t in same if t["category_id"] == one["category_id"]]
    return run_lengths.iou(alike, [one["segmentation"]], [0]).max() if alike else 0.0


def matched(truth, found):
    """Pairs of the true and the found class of objects that overlap by more than half."""
    pairs = []
    for true in truth["annotations"]:
        same = [one for one in found["annotations"] if one["image_id"] == true["image_id"]]
        parts = [one["segmentation"] for one in same]
        overlap = run_lengths.iou(parts, [true["segmentation"]], [0])
        if len(same) and overlap.max() > 0.5:
            pairs.append((true["category_id"], same[int(overlap.argmax())]["category_id"]))
    return np.array(pairs)


@pytest.fixture(scope="session")
def trained(run, files, tmp_path_factory):
    """A model that scores objects by a regressor."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    words = ["--epochs", 2, "--batch-size", 4, "--crop", SIDE, "--set", "steps_per_epoch=75"]
    words += ["--set", "validation_share=0.02", "--set", "tuning_share=0", "--set", "warmup=10"]
    words += ["--set", "decoding.score=regressor"]
    result = run("train", files[0], "--output", folder, *words)
    assert result.exit_code == 0, result.output
    return folder


def test_shapes_are_told_apart_from_the_coco_file_to_the_results(run, files, trained, desk):
    unseen = files[1]
    result = run("segment", trained, unseen / "images", "--coco", "--table", "--output", "found")
    assert result.exit_code == 0, result.output
    truth = json.loads((unseen / "annotations.json").read_text())
    found = json.loads((desk / "found" / "coco.json").read_text())
    assert [one["name"] for one in found["categories"]] == list(KINDS)
    pairs = matched(truth, same_images(truth, found))
    assert len(pairs) >= 36, "half of the objects"
    assert (pairs[:, 0] == pairs[:, 1]).mean() >= 0.9
    rows = csv.DictReader((desk / "found" / "objects.csv").read_text().splitlines())
    assert {row["class"] for row in rows} == set(KINDS)
    assert run("evaluate", trained, unseen, "--split", "all", "--output", "judged").exit_code == 0
    told = json.loads((desk / "judged" / "evaluation.json").read_text())
    assert told["class_names"] == ["background", *KINDS]
    assert min(told["metrics"]["ap/1"], told["metrics"]["ap/2"]) > 0.5


def test_the_regressor_tells_better_than_foreground_how_well_objects_were_found_in_training(
    run, files, trained, desk
):
    learnt, likeness = files[0], {}  # of unseen objects all are found alike, so chance decides
    truth = json.loads((learnt / "annotations.json").read_text())
    for kind in ("foreground", "regressor"):
        words = ["--coco", "--output", kind, "--set", f"decoding.score={kind}"]
        assert run("segment", trained, learnt / "images", *words).exit_code == 0
        told = json.loads((desk / kind / "coco.json").read_text())
        found = same_images(truth, told)["annotations"]
        pairs = [(one["score"], quality(truth, one)) for one in found]
        likeness[kind] = np.corrcoef(np.transpose(pairs))[0, 1]
    assert likeness["regressor"] > likeness["foreground"], likeness
