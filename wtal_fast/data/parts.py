"""The parts of a data set on disk, with the role each plays."""

from __future__ import annotations

from dataclasses import dataclass

from wtal_fast.data.annotations import canonical_subset
from wtal_fast.data.known_datasets import recognise_dataset, subset_of_role
from wtal_fast.data.layouts import DataFolder, Part
from wtal_fast.errors import InputError
from wtal_fast.structures import Annotations


@dataclass(frozen=True)
class NamedPart:
    """One part: its name in the ground truth, its role ("train", "test" or None), its files and its videos' ids."""

    name: str
    role: str | None
    part: Part
    videos: tuple[str, ...]


def parts_of(layout: DataFolder, annotations: Annotations | None) -> tuple[list[NamedPart], list[str]]:
    """(every part that has annotations and a place in the layout, training before test; names of annotated subsets that
    have no place). Without a ground truth the parts are what the layout itself calls so."""
    if annotations is None:
        named = [(name, layout.part(name)) for name in layout.part_names() or ("all",)]
        return [NamedPart(name, None, part, tuple(part.listing or part.files)) for name, part in named], []
    known = recognise_dataset(annotations.video_ids, len(annotations.class_names))
    canonical = {canonical_subset(name): name for name in annotations.subsets}
    roles = {subset_of_role(role, canonical, known): role for role in ("train", "test")}
    annotated = {annotations.subsets[video] for video in set(annotations.video_index.tolist())}
    found, unplaced = [], []
    for short in dict.fromkeys([*(short for short in roles if short in canonical), *canonical]):
        name, role = canonical[short], roles.get(short)
        if name not in annotated:
            continue
        try:
            part = layout.part(name, role)
        except InputError:
            unplaced.append(name)
            continue
        listed = part.listing if part.listing is not None else [
            video for video, subset in zip(annotations.video_ids, annotations.subsets, strict=True) if subset == name]
        found.append(NamedPart(name, role, part, tuple(listed)))
    return found, unplaced


def subset_on_disk(wanted: str, role: str | None, annotations: Annotations | None) -> str:
    """The subset of the ground truth that `wanted` means: itself where it is there; else what this data set calls its
    training or test part (OpenTAD's THUMOS'14 has "training" and "validation"); else itself."""
    if annotations is None or role is None:
        return wanted
    names = {canonical_subset(name): name for name in annotations.subsets}
    if canonical_subset(wanted) in names:
        return wanted
    known = recognise_dataset(annotations.video_ids, len(annotations.class_names))
    return names.get(subset_of_role(role, names, known), wanted)
