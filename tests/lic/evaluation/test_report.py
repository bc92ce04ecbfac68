"""The folder of a report: whole or not at all, never over somebody's files, the same when measured again."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from lic.errors import DataError, UsageError
from lic.evaluation import classical, learned, measuring, published, report, results
from lic.evaluation.measuring import Measured, Row

FILES = {"index.html", "results.csv", "averages.csv", "results.json", "pictures",
         "psnr.png", "psnr.svg", "ms_ssim.png", "ms_ssim.svg"}
SECONDS = ("encode_seconds", "decode_seconds")


def _results(photos, fake):
    models = [fake("lsk2023", "nano", "aa", variable=True), fake("zyc2022", "<b>&", "bb")]
    codecs = classical.chosen(["jpeg"])
    settings = learned.settings(models, None) + classical.settings(codecs)
    with tqdm(disable=True) as bar:
        measured = measuring.measure(photos, settings, photos[:2], bar, lambda *_: None)
    return results.results(measured, learned.about(models), codecs)


@pytest.fixture(scope="module")
def found(photos, fake):
    return _results(photos, fake)


def _read(folder) -> dict[str, bytes]:
    return {os.path.relpath(os.path.join(at, name), folder): open(os.path.join(at, name), "rb").read()
            for at, _, names in os.walk(folder) for name in names}


def _rows(data: bytes) -> list[dict]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_report_has_its_files_and_nothing_else(found, tmp_path):
    report.write(found, str(tmp_path / "deep" / "report"))
    assert set(os.listdir(tmp_path / "deep")) == {"report"}   # no draft is left
    assert set(os.listdir(tmp_path / "deep" / "report")) == FILES


def test_csv_has_a_row_for_each_picture_codec_and_quality(found, tmp_path):
    report.write(found._replace(drawn=[]), str(tmp_path / "report"))
    data = _read(tmp_path / "report")
    rows, averages = _rows(data["results.csv"]), _rows(data["averages.csv"])
    each = 5 + 1 + len(classical.CODECS["jpeg"].qualities)
    assert len(rows) == 3 * each and len(averages) == each and tuple(rows[0]) == Row._fields
    assert rows[0]["picture"] == "photo0" and rows[0]["quality"] == "10.0" and rows[0]["model"] == "aa"
    of_first = [float(r["psnr"]) for r in rows if r["codec"] == "JPEG" and r["quality"] == "50"]
    shown, = (float(a["psnr"]) for a in averages if a["codec"] == "JPEG" and a["quality"] == "50")
    assert shown == pytest.approx(np.mean(of_first), abs=2e-5)


def test_json_holds_rows_averages_and_bd_rates_with_their_reasons(found, tmp_path):
    report.write(found._replace(drawn=[]), str(tmp_path / "report"))
    stored = json.loads(_read(tmp_path / "report")["results.json"], parse_constant=pytest.fail)   # no NaN, no Infinity
    assert len(stored["rows"]) == len(found.measured.rows) and len(stored["averages"]) == len(found.averages)
    assert {(d["measure"], d["codec"], d["anchor"]) for d in stored["bd_rate"]} == {
        (measure, codec, "JPEG") for measure in ("psnr", "ms_ssim_db")
        for codec in ("lsk2023 nano", "zyc2022 <b>&", "JPEG")}
    missing = [d for d in stored["bd_rate"] if d["percent"] is None]
    assert all(d["reason"] for d in missing) and any(d["codec"] == "zyc2022 <b>&" for d in missing)
    assert stored["codecs"]["JPEG"] == "4:2:0, optimised, progressive" and "Pillow" in stored["versions"]


class _Page(HTMLParser):
    """Collects the tags, texts and references of a page; fails on a tag that is not closed."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.texts, self.references = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("img", "br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_page_stands_alone_and_shows_every_plot_and_picture(found, tmp_path):
    report.write(found, str(tmp_path / "report"))
    data = _read(tmp_path / "report")
    page = _Page(data["index.html"].decode())
    assert "script" not in page.tags and set(page.references) <= set(data)
    assert {name for name in data if name.startswith("pictures/") or name.endswith(".svg")} <= set(page.references)
    assert page.tags.count("figure") == 2 * (1 + 3)   # two samples of the original, two models and JPEG
    shown = np.asarray(Image.open(io.BytesIO(data["pictures/1-0.webp"])))
    assert (shown == found.measured.samples[0].original).all()


def test_names_are_escaped(found, tmp_path):
    odd = '"><script>alert(1)</script>'
    samples = [sample._replace(picture=odd) for sample in found.measured.samples]
    measured = found.measured._replace(failed=[odd], samples=samples)
    report.write(found._replace(measured=measured, drawn=[]), str(tmp_path / "report"))
    page = _Page(_read(tmp_path / "report")["index.html"].decode())
    assert not {"script", "b"} & set(page.tags)
    assert odd in page.texts and "zyc2022 <b>&" in page.texts


def _without_seconds(folder) -> dict[str, object]:
    data = _read(folder)
    seconds = re.compile(rb"<td>[0-9.]+</td><td>[0-9.]+</td></tr>|\"(en|de)code_seconds\": [0-9.e-]+")
    rows = {name: [{k: v for k, v in row.items() if k not in SECONDS} for row in _rows(data.pop(name))]
            for name in ("results.csv", "averages.csv")}
    return {**rows, **{name: seconds.sub(b"", content) for name, content in data.items()}}


def test_all_but_seconds_is_the_same_when_it_is_measured_again(photos, fake, tmp_path):
    for name in "ab":
        report.write(_results(photos[:1], fake)._replace(drawn=[]), str(tmp_path / name))
    a, b = (_without_seconds(tmp_path / name) for name in "ab")
    assert a.keys() == b.keys()
    assert [name for name in a if a[name] != b[name]] == []


def test_older_report_is_replaced_as_a_whole(found, tmp_path):
    folder, found = tmp_path / "report", found._replace(drawn=[])   # plots take their time
    report.write(found, str(folder))
    first = _read(folder)
    report.write(found._replace(title="another", measured=found.measured._replace(samples=[])), str(folder))
    second = _read(folder)
    assert b"another" in second["index.html"] and not [name for name in second if name.startswith("pictures/")]
    assert [name for name in first if name.startswith("pictures/")]
    assert os.listdir(tmp_path).count("report") == 1 and not [n for n in os.listdir(tmp_path) if n.startswith(".lic")]


@pytest.mark.parametrize("contents", [
    {"photo.png": "x"},
    {"results.json": "{}"},
    {"results.json": "["},
    {"results.json": '{"made_by": "lic evaluation"}', "notes.txt": "mine"},
    {"index.html": "mine"},
])
def test_folder_of_somebody_else_is_left_alone(found, tmp_path, contents):
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="holds other things than a report"):
        report.write(found, str(tmp_path))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == contents


def test_folder_of_somebody_else_is_left_alone_whatever_the_way_there(found, tmp_path, monkeypatch):
    """What lies there would be gone: the report takes the place of the folder."""
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for name, said in (("", "names no folder"), (".", "holds other things"), ("absent/..", "holds other things"),
                       (f"absent/../../{tmp_path.name}", "holds other things")):
        with pytest.raises(UsageError, match=said):
            report.write(found, name)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is not a folder"):
        report.check_target(str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot write into"):
        report.check_target(str(tmp_path / "file" / "report"))


def test_new_and_empty_folders_are_welcome(tmp_path):
    report.check_target(str(tmp_path / "a" / "b"))
    report.check_target("report-that-is-not-there")
    (tmp_path / "empty").mkdir()
    report.check_target(str(tmp_path / "empty"))


def test_report_that_cannot_be_written_leaves_the_older_one(found, tmp_path, monkeypatch):
    folder, found = tmp_path / "report", found._replace(drawn=[])
    report.write(found, str(folder))
    before = _read(folder)

    def full(path, data):
        raise DataError("the disk is full")

    monkeypatch.setattr(report.files, "write_atomically", full)
    with pytest.raises(DataError, match="disk is full"):
        report.write(found, str(folder))
    assert _read(folder) == before and os.listdir(tmp_path).count("report") == 1


def test_older_report_is_put_back_where_the_new_one_cannot_take_its_place(found, tmp_path, monkeypatch):
    folder, found = tmp_path / "report", found._replace(drawn=[])
    report.write(found, str(folder))
    before, rename = _read(folder), os.rename

    def taken(source, target):
        if os.path.basename(source) == "fresh":
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        rename(source, target)

    monkeypatch.setattr(report.os, "rename", taken)
    with pytest.raises(DataError, match="not empty"):
        report.write(found, str(folder))
    assert _read(folder) == before and os.listdir(tmp_path) == ["report"]


def test_summary_has_both_tables(found):
    said = report.summary(found)
    assert "Average of 3 pictures" in said and "| JPEG " in said and "| zyc2022 <b>& " in said
    assert said.count("BD-rate over") == 2 and "zyc2022 <b>& against JPEG: it takes 4 rates" in said


# Kodak: the published curves stand beside what was measured ---------------------------------------------------------

def _of_kodak(names) -> Measured:
    rows = [Row(name, "JPEG", "", q, 1, bpp, psnr, 0.9 + q / 1000, 10.0, 0.1, 0.1)
            for name in names for q, bpp, psnr in ((5, 0.2, 24.), (20, 0.5, 29.), (50, 0.9, 32.), (90, 2.2, 38.))]
    return Measured(rows, [], {name: (512, 768) for name in names}, [])


def test_kodak_is_compared_with_the_published_curves():
    found = results.results(_of_kodak([f"kodim{n:02}" for n in range(1, 25)]), [], classical.chosen(["jpeg"]))
    assert found.title == "Kodak, average of 24 pictures"
    assert {d.anchor for d in found.deltas["psnr"]} == {"JPEG", "VTM 9.1 (published)", "BPG 4:4:4 (published)"}
    by_pair = {(d.codec, d.anchor): d.percent for d in found.deltas["psnr"]}
    assert by_pair["TCM large (published)", "VTM 9.1 (published)"] == pytest.approx(-11.73, abs=0.005)
    assert {d.codec for d in found.deltas["psnr"]} == {"JPEG", *(c.name for c in published.kodak().values())}
    assert [c.name for c in found.drawn] == ["JPEG", *(c.name for n, c in published.kodak().items()
                                                       if n not in published.TABLES_ONLY)]


def test_part_of_kodak_is_not_compared_with_averages_over_all_of_it():
    found = results.results(_of_kodak(["kodim01", "kodim02"]), [], classical.chosen(["jpeg"]))
    assert found.title == "Average of 2 pictures" and [c.name for c in found.drawn] == ["JPEG"]
