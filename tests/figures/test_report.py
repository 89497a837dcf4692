"""The report is one page that needs nothing else."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from congeal.errors import CongealError
from congeal.figures import Report, plot_curves

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Collects tags and text, and checks that every tag that opens closes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and not {"style", "script"} & set(self.open):
            self.text.append(data.strip())

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture
def full(tmp_path):
    """A report with a block of every kind."""
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    curves = plot_curves({"loss": [2, 1]}, tmp_path / "curves.svg")
    report = Report("Nuclei & more", "A <test>")
    report.add_heading("Scores").add_scores({"AP": 0.5, "images": 1200, "time": "0.1 s"})
    report.add_heading("Rest").add_text("One.\n\nTwo <b>.").add_code("congeal demo")
    report.add_table([{"image": "a.png", "AP": 0.25}, {"image": "b.png", "AP": None}], "caption")
    report.add_image(curves, "curves").add_gallery([("one", picture), ("two", picture[..., 0])])
    return report.add_case("a.png", [("image", picture), ("truth", picture)], {"AP": 0.125})


def test_every_tag_closes_and_every_text_is_there(full):
    page = Page(full.html())
    text = "|".join(page.text)
    for part in ("Nuclei & more", "A <test>", "One.", "Two <b>.", "congeal demo", "1,200", "0.125"):
        assert part in text
    assert len(page.all("img")) == 6


def test_the_page_fetches_nothing(full):
    html = full.html()
    page = Page(html)
    sources = [value for _, attrs in page.tags for key, value in attrs.items() if key == "src"]
    assert all(source.startswith("data:") for source in sources)
    assert {a["href"] for a in page.all("a")} == {"#scores-1", "#rest-2"}
    assert "//" not in re.sub(r"base64,[\w+/=]*|// .*", "", html)
    assert "url(" not in html
    assert "@import" not in html


def test_pictures_are_packed_without_loss():
    picture = np.random.default_rng(0).integers(0, 255, (800, 900, 3), np.uint8)
    source = Page(Report("a").add_image(picture).html()).all("img")[0]["src"]
    packed = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
    assert np.array_equal(np.asarray(packed), picture)


@pytest.mark.parametrize(
    ("shape", "width"), [((1, 1), 768), ((96, 128), 768), ((3000, 1500), 700), ((20000, 30), 2)]
)
def test_small_pictures_grow_and_huge_ones_shrink(shape, width):
    page = Page(Report("a").add_image(np.zeros(shape, np.uint8)).html())
    assert page.all("img")[0]["width"] == str(width)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_picture_files_are_taken_in_as_they_are(ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (31, 17)).save(path)
    image = Page(Report("a").add_image(path).html()).all("img")[0]
    assert base64.b64decode(image["src"].split(",")[1]) == path.read_bytes()
    assert (image["width"], image["height"]) == ("31", "17")


@pytest.mark.parametrize(("name", "told"), [("gone.png", "No such"), ("a.doc", "expected")])
def test_a_picture_that_cannot_be_shown_is_named(name, told, tmp_path):
    with pytest.raises(CongealError, match=told) as caught:
        Report("a").add_image(tmp_path / name)
    assert name in str(caught.value)


def test_a_broken_picture_file_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(CongealError, match=r"cannot read .*a\.png: not a picture"):
        Report("a").add_image(tmp_path / "a.png")


def test_an_array_that_is_no_picture_is_refused():
    with pytest.raises(CongealError, match="expected"):
        Report("a").add_image(np.zeros((0, 4)))
    with pytest.raises(CongealError, match="expected an image"):
        Report("a").add_gallery([("x", np.zeros(3))])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "0.500"),
        (np.float32(0.25), "0.250"),
        (np.int64(12345), "12,345"),
        (1234.5, "1,234.5"),
        (0.00001, "1.0e-05"),
        (0.0, "0.000"),
        (float("nan"), "–"),
        (None, "–"),
        ("text", "text"),
        (True, "True"),
    ],
)
def test_numbers_are_written_for_people(value, shown):
    assert shown in Page(Report("a").add_scores({"x": value}).html()).text


def test_only_fractions_have_a_bar():
    page = Page(Report("a").add_scores({"ap": 0.25, "images": 1, "ratio": 3.5}).html())
    assert [i["style"] for i in page.all("i")] == ["width:25.0%"]


def test_columns_of_numbers_are_numbers_even_with_gaps():
    rows = [{"name": "a", "ap": 0.5}, {"name": "b", "ap": float("nan")}, {"name": "c"}]
    page = Page(Report("a").add_table(rows).html())
    assert [th.get("class") for th in page.all("th")] == [None, "number"]
    assert [td["data-value"] for td in page.all("td")][1::2] == ["0.5", "-Infinity", "-Infinity"]


def test_an_empty_report_and_an_empty_table_are_pages():
    assert Page(Report("a").html()).all("nav") == []
    assert len(Page(Report("a").add_table([]).html()).all("table")) == 1


def test_headings_with_the_same_or_foreign_letters_have_anchors_of_their_own():
    report = Report("a").add_heading("細胞").add_heading("Same").add_heading("Same")
    page = Page(report.html())
    anchors = [h["id"] for h in page.all("h2")]
    assert len(set(anchors)) == 3
    assert [a["href"] for a in page.all("a")] == [f"#{anchor}" for anchor in anchors]


def test_the_page_is_written_whole(full, tmp_path):
    path = full.save(tmp_path / "new" / "index.html")
    assert path.read_text(encoding="utf-8") == full.html()
