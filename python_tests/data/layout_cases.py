"""One small data set of six videos, written to disk in every layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

CLASSES = ("jump", "run")
LENGTHS = {"train": {"vid_a": 5, "vid_b": 8, "vid_c": 3}, "test": {"vid_d": 6, "vid_e": 4, "vid_f": 9}}
RGB, FLOW = 4, 3  # channels
SECONDS = 0.64  # of a snippet
RESCALED = 8  # snippets of a video in BackTAL's layout


def features(video: str) -> np.ndarray:
    """[L, 7] float32, RGB first: numbers that say where they come from, exact in float16."""
    length = {**LENGTHS["train"], **LENGTHS["test"]}[video]
    return (100 * (ord(video[-1]) - 96) + 10 * np.arange(length)[:, None] + np.arange(RGB + FLOW)).astype(np.float32)


def database(names=("train", "test"), text=False, prefix="", **more) -> dict:
    """Ground truth with the subsets called `names`; text: times in strings."""
    entries = {}
    for name, videos in zip(names, LENGTHS.values(), strict=True):
        for number, (video, length) in enumerate(videos.items()):
            annotations = [{"segment": [0.5 + number, 1.5 + number], "label": CLASSES[number % 2]}]
            if number == 2:
                annotations.append({"segment": [0.25, 0.75], "label": "run"})
            if text:
                annotations = [one | {"segment": list(map(str, one["segment"]))} for one in annotations]
            entries[prefix + video] = {"subset": name, "duration": length * SECONDS, "fps": 25.0,
                                       "annotations": annotations, **more}
    return {"database": entries}


def save(path: Path, array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def save_npz(path: Path, **arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def all_videos():
    for subset, videos in LENGTHS.items():
        for video in videos:
            yield subset, video, features(video)


def basnet(root: Path) -> None:
    for subset, video, array in all_videos():
        save(root / f"THUMOS14/features/{subset}/rgb/{video}.npy", array[:, :RGB])
        save(root / f"THUMOS14/features/{subset}/flow/{video}.npy", array[:, RGB:])
    for subset, videos in LENGTHS.items():
        (root / f"THUMOS14/split_{subset}.txt").write_text("\n".join(videos))
    write_json(root / "THUMOS14/gt.json", database(text=True))


def leftthomas(root: Path) -> None:
    names = {"train": "train", "test": "val"}
    for subset, video, array in all_videos():
        folder = root / f"activitynet/features_1.2/{names[subset]}"
        save(folder / f"rgb/v_{video}.npy", array[:, :RGB])
        save(folder / f"flow/v_{video}.npy", array[:, RGB:])
    write_json(root / "activitynet/annotations_1.2.json", database(("training", "validation")))


def hr_pro(root: Path) -> None:
    for subset, video, array in all_videos():
        save(root / f"{subset}/{video}.npy", array.astype(np.float16))
    write_json(root / "gt_full.json", database(("Validation", "Test"), label_id=3))


def cmcs(root: Path) -> None:
    for _, video, array in all_videos():
        for stream, columns in (("rgb", slice(0, RGB)), ("flow", slice(RGB, None))):
            values = array[None, :, columns]
            save_npz(root / f"I3D/{video}-{stream}.npz", feature=values, frame_cnt=16 * len(array), video_name=video)
    write_json(root / "annotations/truth.json", database())


def untrimmednet(root: Path) -> None:
    for _, video, array in all_videos():
        for stream, columns in (("rgb", slice(0, RGB)), ("flow", slice(RGB, None))):
            save_npz(root / f"{video}-{stream}.npz", feature=array[:, None, columns, None, None])
    write_json(root / "gt.json", database())


def wtalc(root: Path) -> None:
    rows = list(all_videos())
    arrays = np.empty(len(rows), dtype=object)
    arrays[:] = [array for *_, array in rows]
    save(root / "Tiny-I3D-JOINTFeatures.npy", arrays)
    truth = database(("validation", "test"))["database"]
    lists = {name: np.empty(len(rows), dtype=object) for name in ("labels", "segments", "labels_all")}
    for number, entry in enumerate(truth.values()):
        lists["labels"][number] = [one["label"] for one in entry["annotations"]]
        lists["segments"][number] = [one["segment"] for one in entry["annotations"]]
        lists["labels_all"][number] = sorted(set(lists["labels"][number]))
    for name, values in lists.items():
        save(root / f"Tiny-Annotations/{name}.npy", values)
    plain = {"videoname": np.array(list(truth), dtype="S"), "classlist": np.array(CLASSES, dtype="S"),
             "subset": np.array([entry["subset"] for entry in truth.values()], dtype="S10"),
             "duration": np.array([[entry["duration"]] for entry in truth.values()])}
    for name, values in plain.items():
        save(root / f"Tiny-Annotations/{name}.npy", values)


def actionformer(root: Path) -> None:
    for _, video, array in all_videos():
        save(root / f"i3d_features/{video}.npy", array)
    write_json(root / "annotations/thumos14.json", database(("Validation", "Test")))


def opentad(root: Path) -> None:
    for _, video, array in all_videos():
        save_npz(root / f"features/i3d/{video}.npz", feats=array)
    content = database(("training", "validation"), frame=100)
    content["database"]["gone"] = {"subset": "training", "annotations": [{"segment": [0, 1], "label": "run"}]}
    write_json(root / "annotations/anno.json", content)
    (root / "features/i3d/missing_files.txt").write_text("gone\n")


def hacs(root: Path) -> None:
    for _, video, array in all_videos():
        save_npz(root / f"slowfast/v_{video}.npz", feat_sf=array)
    content = database(("training", "validation"))
    for entry in content["database"].values():
        entry["duration"] = str(entry["duration"])
    write_json(root / "HACS_segments_v1.1.1.json", content)


def backtal(root: Path) -> None:
    truth = database()["database"]
    names = {"train": "val", "test": "test"}
    for subset, video, array in all_videos():
        whole = np.repeat(array, 2, axis=0)[:RESCALED]
        whole = np.concatenate([whole, np.repeat(whole[-1:], RESCALED - len(whole), axis=0)]).T  # [7, 8]
        more = {"frame_num": 16 * len(array), "fps": 25, "duration": truth[video]["duration"]}
        if subset == "train":
            points = np.full(RESCALED, -100)
            points[[1, 6]] = 2
            more = {"point_label": points}
        path = root / f"{names[subset]}/{video}.npz"
        save_npz(path, feat_spa=whole[:RGB], feat_tem=whole[RGB:], vid_name=video, **more)
    write_json(root / "gt_tiny.json", database(("val", "test")) | {"activity_list": list(CLASSES)})


def own_csv(root: Path) -> None:
    for _, video, array in all_videos():
        save(root / f"clips/{video}.npy", array)
    rows = ["Video,Label,Start,End"]
    for video, entry in database()["database"].items():
        rows += [f"{video}.mp4,{one['label']},{one['segment'][0]},{one['segment'][1]}" for one in entry["annotations"]]
    (root / "labels.csv").write_text("\n".join(rows))
    (root / "dataset.yaml").write_text("features: clips\nlabels: labels.csv\nfps: 25\nstride: 16\n"
                                       "test: [vid_d, vid_e, vid_f]\n")


def own_one_file(root: Path) -> None:
    own_csv(root)
    save_npz(root / "all.npz", fps=25, **{f"{video}/feats": array for _, video, array in all_videos()})
    shutil.rmtree(root / "clips")
    text = (root / "dataset.yaml").read_text().replace("features: clips", "features: all.npz\nkey: '{video}/feats'")
    (root / "dataset.yaml").write_text(text)


WRITERS = {writer.__name__: writer for writer in (basnet, leftthomas, hr_pro, cmcs, untrimmednet, wtalc, actionformer,
                                                  opentad, hacs, backtal, own_csv, own_one_file)}
LAYOUT_OF = {"basnet": "basnet", "leftthomas": "basnet", "hr_pro": "basnet", "cmcs": "cmcs", "untrimmednet": "cmcs",
             "wtalc": "wtalc", "actionformer": "actionformer", "opentad": "actionformer", "hacs": "actionformer",
             "backtal": "backtal", "own_csv": "own", "own_one_file": "own"}
SUBSETS_OF = {"leftthomas": ("training", "validation"), "hr_pro": ("validation", "test"), "backtal": ("val", "test"),
              "wtalc": ("validation", "test"), "actionformer": ("validation", "test"),
              "opentad": ("training", "validation"), "hacs": ("training", "validation")}
