"""The page: a place to drop a file, the picture against its reconstruction, figures, enlarged parts, the map of bits.

Gradio's events call the methods of `Page`, which hand back what each component shall show next. One thing runs at a
time; while it does, only the last quality that was set waits.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

import config
from lic import bitstream, files
from lic.demo import desk, heat, views
from lic.errors import UserError
from lic.evaluation.classical import Classical

if TYPE_CHECKING:
    from lic.codec import Codec

ORIGINAL = "original"
_WIPE_ABOUT = "Drag the line to wipe; the wheel or two fingers zoom, dragging moves."
_MAP_ABOUT = "The entropy model's estimate for each 16 x 16 pixels. Click on a place to see it enlarged."
_NO_MAP = "A SavedModel by itself carries no estimate of its bits: there is no map."
_QUICK = dict(show_progress="hidden", api_visibility="private")
_LONG = dict(concurrency_id="model", concurrency_limit=1, show_progress="minimal", api_visibility="private")

Shown = dict[Any, Any]   # a component -> what it shows next


def _html(value: str = "", **options) -> gr.HTML:
    """Without the styles of Gradio's own texts, which draw frames around tables."""
    return gr.HTML(value, apply_default_css=False, **options)


class Page:
    """The components and what they do.

    Args:
      codec: the model to look at.
      against: the classical codecs beside it.
      folder: where files to download are written.
    """

    def __init__(self, codec: Codec, against: Sequence[Classical], folder: str):
        self.codec, self.against, self.folder = codec, against, folder
        self.model = f"{codec.about['script']} {codec.about['preset']}"
        with gr.Blocks(analytics_enabled=False, title=f"{self.model}: learned image compression",
                       delete_cache=(600, 3600)) as self.blocks:
            self._lay_out()
            self._connect()

    def _lay_out(self) -> None:
        self.picture = gr.State(None, time_to_live=3600)
        gr.Markdown(f"## {self.model}\nLearned image compression: drop a picture, and see what is left of it. "
                    f"Model {self.codec.weights_id}.")
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                self.file = gr.File(label="A picture, or a .tfci file", height=150)
                self.quality = gr.Slider(*config.QUALITIES, value=config.DEFAULT_QUALITY, step=0.5, label="Quality",
                                         visible=self.codec.variable, buttons=[])
                self.left = gr.Radio([ORIGINAL], value=ORIGINAL, label="On the left", visible=False)
                self.download = gr.DownloadButton("Download the .tfci", visible=False)
                self.status = _html()
            with gr.Column(scale=3, min_width=320):
                self.wipe = gr.ImageSlider(label=f"{ORIGINAL} | {self.model}", format="png", max_height=680,
                                           interactive=False, buttons=["fullscreen"])
                self.restored = gr.Image(label="decompressed", format="png", visible=False, interactive=False,
                                         buttons=["fullscreen"])
                self.hint = _html(views.line(_WIPE_ABOUT), visible=False)
        with gr.Column(visible=False) as self.below:
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    self.map = gr.Image(label="Where the bits go", format="png", interactive=False, buttons=[])
                    self.legend = _html()
                with gr.Column(scale=3, min_width=320):
                    self.table = _html()
            self.crops = _html()

    def _connect(self) -> None:
        everything = [self.picture, self.quality, self.left, self.download, self.status, self.wipe, self.hint,
                      self.restored, self.table, self.below, self.map, self.legend, self.crops]
        running = self.quality.release(self.run, [self.picture, self.quality, self.left], everything,
                                       trigger_mode="always_last", show_progress_on=self.wipe, **_LONG)
        opening = self.file.upload(self.open, [self.file, self.quality, self.left], everything, cancels=[running],
                                   show_progress_on=self.wipe, **_LONG)
        self.file.clear(self.close, None, everything, cancels=[running, opening], **_QUICK)
        self.left.input(self.look, [self.picture, self.left], [self.wipe], **_QUICK)
        self.map.select(self.enlarge, [self.picture], [self.crops], **_QUICK)

    # Events ---------------------------------------------------------------------------------------------------------

    def close(self) -> Shown:
        """The page as it was before anything was dropped."""
        return {self.picture: None, self.left: gr.Radio(visible=False), self.download: gr.DownloadButton(visible=False),
                self.status: "", self.wipe: gr.ImageSlider(value=None, visible=True), self.hint: gr.HTML(visible=False),
                self.restored: gr.Image(value=None, visible=False), self.below: gr.Column(visible=False)}

    def open(self, path: str, quality: float, left: str) -> Iterator[Shown]:
        """A file was dropped."""
        try:
            yield self.close()
            if desk.is_file(path):
                yield self._opened(desk.opened(self.codec, path))
            else:
                yield from self.run(desk.picture(path), quality, left)
        except UserError as error:
            yield {self.status: views.error(str(error).replace(path, os.path.basename(path)))}

    def run(self, picture: desk.Picture | None, quality: float, left: str) -> Iterator[Shown]:
        """The picture is compressed, then compared."""
        if picture is None:   # the slider was moved before anything was dropped
            return
        try:
            for _ in desk.work(self.codec, self.against, picture, quality if self.codec.variable else None):
                yield self._after(picture, left)
        except UserError as error:
            yield {self.status: views.error(str(error))}

    def look(self, picture: desk.Picture, left: str) -> Any:
        """Another picture is wanted on the left."""
        pixels = next((p.restored for p in picture.found if p.row.codec == left), picture.pixels)
        return gr.ImageSlider(value=tuple(map(views.on_screen, (pixels, picture.found[0].restored))), visible=True,
                              label=f"{left} | {self.model}")

    def enlarge(self, picture: desk.Picture, click: gr.SelectData) -> str:
        """Another part is wanted enlarged."""
        scale = max(1, max(picture.pixels.shape) / views.SCREEN)
        desk.look_at(picture, click.index[0] * scale, click.index[1] * scale)
        return views.crops(picture.pixels, picture.found, picture.part)

    # What they show -------------------------------------------------------------------------------------------------

    def _after(self, picture: desk.Picture, left: str) -> Shown:
        """What the latest result changes."""
        names = [passed.row.codec for passed in picture.found]
        choices: dict[str, Any] = dict(choices=[ORIGINAL, *names[1:]], visible=True)
        shown: Shown = {self.table: views.table(picture.found),
                        self.crops: views.crops(picture.pixels, picture.found, picture.part)}
        if len(names) == 1:
            shown |= self._first(picture)
        if len(names) == 1 or names[-1] == left:   # what was on the left stays there as soon as it is back
            choices["value"] = left if left in names else ORIGINAL
            shown[self.wipe] = self.look(picture, choices["value"])
        return {**shown, self.left: gr.Radio(**choices)}

    def _first(self, picture: desk.Picture) -> Shown:
        """What the model's result changes."""
        return {self.picture: picture, self.status: "".join(map(views.line, picture.notes)),
                self.download: self._file_of(picture), self.hint: gr.HTML(visible=True),
                self.below: gr.Column(visible=True), **self._mapped(picture)}

    def _file_of(self, picture: desk.Picture) -> Any:
        path = os.path.join(tempfile.mkdtemp(dir=self.folder), picture.name + bitstream.SUFFIX)
        files.write_atomically(path, picture.found[0].data)
        return gr.DownloadButton(value=path, visible=True)

    def _mapped(self, picture: desk.Picture) -> Shown:
        if picture.bits is None:
            return {self.map: gr.Image(visible=False), self.legend: views.line(_NO_MAP)}
        colours = views.on_screen(heat.picture(picture.bits, *picture.pixels.shape[:2]))
        return {self.map: gr.Image(value=colours, visible=True),
                self.legend: views.legend(picture.bits) + views.line(_MAP_ABOUT)}

    def _opened(self, file: desk.File) -> Shown:
        return {self.wipe: gr.ImageSlider(visible=False), self.status: views.line(file.about),
                self.restored: gr.Image(value=views.on_screen(file.pixels), visible=True)}
