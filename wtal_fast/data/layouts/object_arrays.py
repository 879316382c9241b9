"""The layout of W-TALC and its relatives (3C-Net, SF-Net, HAM-Net, CO2-Net, DELU, RSKP, P-MIL).

    <root>/<Dataset>-I3D-JOINTFeatures.npy       one object array, [L, 2048] for each video, RGB first
    <root>/<Dataset>-Annotations/*.npy           videoname, subset, labels, segments, duration, ...; single_frames/*.txt
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wtal_fast.data.formats import ArrayRef, open_arrays
from wtal_fast.data.layouts.folder import DataFolder, Part, entries, one_crop
from wtal_fast.data.splits import names_of_subset
from wtal_fast.data.wtalc_arrays import NEEDED
from wtal_fast.errors import InputError


@dataclass(frozen=True, eq=False)
class ObjectArrays(DataFolder):
    """All features in one object array, annotations in arrays beside it."""

    layout = "wtalc"
    about = "one *Features*.npy of all videos and a folder *-Annotations with videoname.npy and the like"

    @classmethod
    def recognise(cls, root: Path) -> ObjectArrays | None:
        inside = entries(root)
        features = [path for name, path in inside.items() if name.endswith(".npy") and "feature" in name]
        folders = [path for path in (root, *inside.values()) if path.is_dir() and (path / f"{NEEDED[0]}.npy").is_file()]
        if len(features) != 1 or not folders:
            return None
        if len(folders) > 1:
            raise InputError(root, expected="one folder of annotation arrays",
                             found=", ".join(folder.name for folder in folders), fix="keep one")
        return cls(root, folders[0], tuple(sorted(folders[0].glob("single_frames/*.txt"))))

    @cached_property
    def features(self) -> Path:
        """The file of all features."""
        return next(path for name, path in entries(self.root).items() if name.endswith(".npy") and "feature" in name)

    @cached_property
    def _arrays(self) -> dict[str, ArrayRef]:
        arrays, names = open_arrays(self.features), list(self.content["database"])
        if len(arrays) != len(names):
            raise InputError(self.features, expected=f"{len(names)} arrays, one for each name in videoname.npy",
                             found=f"{len(arrays)}", fix="take features and annotations of one release")
        return dict(zip(names, arrays.values(), strict=True))

    def part(self, subset: str, role: str | None = None) -> Part:
        names = names_of_subset(subset, role)[:3]
        listing = tuple(video for video, entry in self.content["database"].items()
                        if entry["subset"].lower() in names and entry["annotations"])
        files = dict.fromkeys(self.content["database"], (self.features,))
        return Part(self.root, ("features",), files, listing or None, self.ground_truth)

    def arrays(self, part: Part, video: str) -> tuple[ArrayRef, ...]:
        return (one_crop(self._arrays[video]),)
