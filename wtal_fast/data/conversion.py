"""From any layout to any other, and to packed shards: video by video, resumable, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wtal_fast.data.annotations import canonical_subset, select_videos
from wtal_fast.data.click_files import read_clicks, write_clicks
from wtal_fast.data.clicks import Clicks, clicks_of_rows, join_clicks
from wtal_fast.data.ground_truth import read_ground_truth
from wtal_fast.data.known_datasets import recognise_dataset
from wtal_fast.data.layout_writers import (
    BacktalWriter,
    BasnetWriter,
    FlatWriter,
    LayoutWriter,
    OwnWriter,
    PairWriter,
    Video,
    clicked_positions,
)
from wtal_fast.data.layouts import DataFolder, VideoFacts, open_folder
from wtal_fast.data.layouts.folder import BLOCK_LIST
from wtal_fast.data.packed_index import INDEX_NAME
from wtal_fast.data.packed_writer import PackWriter
from wtal_fast.data.parts import NamedPart, parts_of
from wtal_fast.data.stored_features import stored_videos
from wtal_fast.data.video_ids import check_ids
from wtal_fast.data.wtalc_writer import NAME, WtalcWriter
from wtal_fast.errors import InputError
from wtal_fast.files import read_json, save_json, save_text
from wtal_fast.structures import NO_CLICK, Annotations

TARGETS = ("packed", "basnet", "joined", "backtal", "cmcs", "wtalc", "actionformer", "opentad", "hacs", "own")
# What each layout calls training and test, for THUMOS'14 and for the others; "packed" and "own" keep the names.
_OTHERS = ("training", "validation")
SUBSET_NAMES = {
    "basnet": (("train", "test"), _OTHERS), "joined": (("train", "test"), _OTHERS),
    "backtal": (("val", "test"), _OTHERS),
    "cmcs": (("validation", "test"), _OTHERS), "wtalc": (("validation", "test"), _OTHERS),
    "actionformer": (("Validation", "Test"), _OTHERS), "opentad": (_OTHERS, _OTHERS),
    "hacs": (("validation", "test"), _OTHERS),
}
_LISTED_NOWHERE = ("cmcs", "actionformer", "opentad", "hacs", "own")  # what is in a part only the ground truth says
_JOURNAL = ".converting.json"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]|^\.")


@dataclass(frozen=True)
class Conversion:
    """What was asked for. snippets: length that every video is rescaled to (BackTAL). dtype: of the features, None as
    they are. clicks: click files to carry along. durations: a ground truth with durations and frame rates."""

    to: str
    snippets: int | None = None
    dtype: str | None = None
    clicks: tuple[str, ...] = ()
    durations: str | None = None
    drop_missing: bool = False


def convert_folder(root: str | os.PathLike, output: str | os.PathLike, wanted: Conversion, *, resume: bool = False,
                   progress: Callable[[int, int], None] | None = None) -> dict:
    """Writes the data set at `root` to the folder `output` in the layout wanted.to; returns {"videos", "layout", ...}.

    All of the ground truth is kept, but for the names of subsets where the layout has its own; numbers keep their type.
    Files are written whole: after a crash or Ctrl-C, `resume` writes what is missing. An output that holds something
    else raises InputError, and so do a missing video and settings the layout cannot take.
    """
    if wanted.to not in TARGETS:
        raise InputError("--to", expected="one of " + ", ".join(TARGETS), found=wanted.to)
    if wanted.snippets is not None and wanted.to != "backtal":
        raise InputError("--snippets", expected="nothing: only BackTAL's layout is rescaled",
                         found=str(wanted.snippets))
    layout, output = open_folder(root), Path(output)
    if layout.ground_truth is None:
        raise InputError(layout.root, expected="a ground truth, to know the parts", found="none",
                         fix="add gt.json or a CSV of labels")
    annotations = read_ground_truth(layout.ground_truth, content=layout.content)
    parts, unplaced = parts_of(layout, annotations)
    if unplaced and not wanted.drop_missing:
        raise InputError(layout.root, f"subset '{unplaced[0]}'", expected="features of every annotated subset",
                         found="no place for this one", fix="correct the subset names, or --drop-missing leaves it out")
    work = _Work(layout, annotations, parts, wanted)
    _claim(output, layout, wanted, resume)
    try:
        if wanted.to != "packed":
            _to_files(work, output, progress)
        elif not (output / INDEX_NAME).is_file():  # there where only the journal was left by an interrupted conversion
            _to_packed(work, output, progress)
    except InputError:
        if [path.name for path in output.iterdir()] == [_JOURNAL]:  # nothing was written
            shutil.rmtree(output)
        raise
    (output / _JOURNAL).unlink(missing_ok=True)
    return {"layout": wanted.to, "output": str(output), "videos": len(work.videos),
            "parts": {named.name: len(named.videos) for named in parts}}


class _Work:
    """The videos to be written, in order, and what is known of each."""

    def __init__(self, layout: DataFolder, annotations: Annotations, parts: Sequence[NamedPart], wanted: Conversion):
        self.layout, self.annotations, self.wanted = layout, annotations, wanted
        self.videos: list[tuple[str, str, NamedPart]] = []  # (id, stored id, part)
        blocked = set(layout.blocked)
        for named in parts:
            ids = [self.annotated_id(video) for video in named.videos]
            check_ids(ids, named.part.folder)
            kept = [video for video in ids if named.part.stored_id(video)] if wanted.drop_missing else ids
            kept = [video for video in kept if video not in blocked]
            self.videos += [(video, stored, named)
                            for video, stored in zip(kept, stored_videos(named.part, kept), strict=True)]
        if not self.videos:
            raise InputError(layout.root, expected="at least one video with features", found="none")
        known = recognise_dataset(annotations.video_ids, len(annotations.class_names))
        names = SUBSET_NAMES.get(wanted.to, ((), ()))[known is None or known.name != "thumos14"]
        roles = dict(zip(("train", "test"), names, strict=False))
        if known is None:
            roles = {}
        self.renamed = {named.name: roles.get(named.role, named.name) for named in parts}
        written = {video for video, *_ in self.videos}
        self.left_out = [video for video, name in zip(annotations.video_ids, annotations.subsets, strict=True)
                         if name in self.renamed and video not in written]
        self.click_files = list(map(Path, (*layout.clicks, *wanted.clicks)))
        self.clicks = self._read_clicks()
        self.timing = self._timing()
        self.streams = self.videos[0][2].part.streams

    def annotated_id(self, video: str) -> str:
        """The id as the ground truth has it."""
        names = (video, video.removeprefix("v_"), f"v_{video}")
        return next((name for name in names if name in self.annotations.positions), video)

    def content(self) -> dict:
        """The ground truth with the subset names of the target."""
        canonical = {canonical_subset(name): new for name, new in self.renamed.items()}
        database = {video: entry | {"subset": canonical.get(canonical_subset(entry["subset"]), entry["subset"])}
                    for video, entry in self.layout.content["database"].items()}
        return self.layout.content | {"database": database}

    def video(self, number: int) -> Video:
        """Everything that is written of a video."""
        video, stored, named = self.videos[number]
        arrays = [array.expect_numbers().read() for array in self.layout.arrays(named.part, stored)]
        length = min(map(len, arrays))
        if max(map(len, arrays)) - length > 1:
            raise InputError(named.part.folder, f"video '{video}'", expected="RGB and flow of one length, or one apart",
                             found=" and ".join(str(len(array)) for array in arrays), fix="extract the video again")
        dtype = self.wanted.dtype
        streams = tuple(array[:length] if dtype is None else array[:length].astype(dtype) for array in arrays)
        return Video(video, self.renamed[named.name].lower(), streams, self._facts(video, stored, named, length))

    def _facts(self, video: str, stored: str, named: NamedPart, length: int) -> VideoFacts:
        facts = self.layout.facts(named.part, stored)
        number = self.annotations.positions.get(video)
        if number is not None:
            duration, fps = self.timing.durations[number], self.timing.fps[number]
            facts = replace(facts, duration=facts.duration if np.isfinite(facts.duration) else float(duration),
                            fps=facts.fps if np.isfinite(facts.fps) else float(fps))
        if self.clicks is not None and self.wanted.to == "backtal" and named.role == "train":
            mine = self.clicks.of_videos([video])
            positions = clicked_positions(mine.seconds, mine.classes, facts.duration, self.wanted.snippets or length)
            facts = replace(facts, clicks=positions)
        return facts

    def _timing(self) -> Annotations:
        """Durations and frame rates, of --durations where it is given."""
        if self.wanted.durations is None:
            return self.annotations
        other = read_ground_truth(self.wanted.durations)
        return replace(self.annotations, **{name: getattr(select_videos(other, self.annotations.video_ids), name)
                                            for name in ("durations", "fps")})

    def _read_clicks(self) -> Clicks | None:
        if not self.wanted.clicks or self.wanted.to != "backtal":
            return None
        timing, parts = self._timing(), []
        for name in self.wanted.clicks:
            durations = np.where(np.isnan(timing.durations), np.inf, timing.durations)
            parts.append(read_clicks(name, timing.class_names, timing.video_ids, durations, fps=timing.fps))
        return join_clicks(parts)


def _to_files(work: _Work, output: Path, progress) -> None:
    writer = _writer(work, output)
    if writer.needs_streams and work.streams != ("rgb", "flow"):
        raise InputError(work.layout.root, "streams", expected="RGB and flow kept apart", found=", ".join(work.streams),
                         fix="choose a layout that keeps them side by side")
    splits: dict[str, list[str]] = {}
    stored_clicks = []
    with closing(writer):
        for number, (video, stored, named) in enumerate(work.videos):
            part = work.renamed[named.name].lower()
            splits.setdefault(part, []).append(video)
            if not writer.has(video, part):
                writer.add(work.video(number))
            facts = work.layout.facts(named.part, stored)
            if facts.clicks is not None and work.wanted.to != "backtal":
                stored_clicks += _seconds_of(facts, work.annotations.positions[video], work)
            if progress is not None:
                progress(number + 1, len(work.videos))
        writer.finish(work.content(), splits, work.layout.settings())
    if work.left_out and work.wanted.to in _LISTED_NOWHERE:
        save_text(output / BLOCK_LIST, "".join(f"{video}\n" for video in work.left_out))
    for path in work.click_files:
        folder = _clicks_folder(work.wanted.to, output)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    if stored_clicks:
        clicks = clicks_of_rows(stored_clicks, work.annotations.class_names, work.annotations.video_ids)
        save_text(_clicks_folder(work.wanted.to, output) / "stored.json", write_clicks(clicks, "json"))


def _to_packed(work: _Work, output: Path, progress) -> None:
    first = work.video(0)
    streams = [(name, array.shape[1]) for name, array in zip(work.streams, first.streams, strict=True)]
    plan = {"source": str(work.layout.root.resolve()), "layout": work.layout.layout, "dtype": work.wanted.dtype,
            "videos": [[video, named.name] for video, _, named in work.videos]}
    writer = PackWriter(output, streams, plan)
    stored, clicks = writer.stored, []
    for number, (video, name, named) in enumerate(work.videos):
        if video not in stored:
            found = first if number == 0 else work.video(number)
            writer.add(video, named.name, found.joined, found.facts.frame_count)
        facts = work.layout.facts(named.part, name)
        if facts.clicks is not None:
            clicks += _seconds_of(facts, work.annotations.positions[video], work)
        if progress is not None:
            progress(number + 1, len(work.videos))
    files = {"gt.json": _truth_bytes(work)}
    files |= {_UNSAFE.sub("_", path.name): path.read_bytes() for path in work.click_files}
    if clicks:
        table = clicks_of_rows(clicks, work.annotations.class_names, work.annotations.video_ids)
        files["stored_clicks.json"] = write_clicks(table, "json").encode()
    about = {"source_layout": work.layout.layout, "rescaled": work.layout.rescaled,
             "settings": _plain(work.layout.settings())}
    writer.finish([video for video, *_ in work.videos], files, about)


def _seconds_of(facts: VideoFacts, number: int, work: _Work) -> list[tuple[float, int, int]]:
    """Clicks stored with the features, in seconds: each in the middle of its snippet."""
    duration = facts.duration if np.isfinite(facts.duration) else float(work.timing.durations[number])
    return [((index + 0.5) / len(facts.clicks) * duration, int(facts.clicks[index]), number)
            for index in np.flatnonzero(facts.clicks != NO_CLICK)]


def _truth_bytes(work: _Work) -> bytes:
    """The ground truth file as it is where it is ActivityNet JSON, else in that form."""
    path = work.layout.ground_truth
    if path.is_file() and path.suffix.lower() == ".json" and read_json(path) == work.layout.content:
        return path.read_bytes()
    return json.dumps(work.layout.content, allow_nan=False).encode()


def _plain(settings: dict) -> dict:
    """What travels with packed data: the click file gets another name."""
    return json.loads(json.dumps({key: value for key, value in settings.items() if key != "data.clicks"}))


def _writer(work: _Work, output: Path) -> LayoutWriter:
    to = work.wanted.to
    if to in ("basnet", "joined"):
        return BasnetWriter(output, joined=to == "joined" or work.streams != ("rgb", "flow"))
    if to == "backtal":
        if work.wanted.snippets is None and not work.layout.rescaled:
            raise InputError("--snippets", expected="the length every video is rescaled to", found="nothing",
                             fix="--snippets 750 (THUMOS'14), 100 (ActivityNet 1.2), 200 (HACS)")
        return BacktalWriter(output, work.wanted.snippets)
    if to in ("cmcs", "wtalc"):
        return PairWriter(output) if to == "cmcs" else WtalcWriter(output, [video for video, *_ in work.videos])
    flat = {"actionformer": ("i3d_features",), "opentad": ("features", "feats"), "hacs": ("features", "feat_sf", "v_")}
    return OwnWriter(output, "features") if to == "own" else FlatWriter(output, *flat[to])


def _claim(output: Path, layout: DataFolder, wanted: Conversion, resume: bool) -> None:
    """Refuses an output folder with other content, or with work begun by another conversion."""
    plan = json.loads(json.dumps({"source": str(layout.root.resolve()), **vars(wanted)}))
    journal = output / _JOURNAL
    if output.resolve() == layout.root.resolve():
        raise InputError(output, expected="another folder than the source", found="the source", fix="choose --output")
    if journal.is_file():
        if not resume:
            raise InputError(output, expected="an empty folder", found="an unfinished conversion", fix="--resume "
                             "finishes it; or choose another --output")
        if read_json(journal, sealed=True) != plan:
            raise InputError(output, expected="the conversion that was begun here", found="another one",
                             fix="repeat it as it was begun, or choose another --output")
    elif output.exists() and any(output.iterdir()):
        complete = resume and (output / INDEX_NAME).is_file()
        raise InputError(output, expected="an empty folder", found="a finished data set" if complete else "other files",
                         fix="choose another --output")
    save_json(journal, plan, sealed=True)


def _clicks_folder(to: str, output: Path) -> Path:
    return output / f"{NAME}-Annotations/single_frames" if to == "wtalc" else output / "clicks"
