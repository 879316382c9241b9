"""The CUDA kernels of csrc/cuda/*.cuh on CPU memory, compiled for fibers (cuda_on_cpu.h)."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import torch
from torch import Tensor

from python_tests.conftest import ROOT, require
from python_tests.ops.op_battery import DTYPES

FLAGS = ["-std=c++20", "-O1", "-fPIC", "-shared", "-pthread", "-ffp-contract=off", "-Wno-unknown-pragmas"]


def compile_for_cpu(source: str, folder: Path) -> ctypes.CDLL:
    """python_tests/ops/<source>.cpp as a library in `folder`."""
    compiler = shutil.which("g++")
    require("native", compiler, "g++ is not installed")
    here, library = ROOT / "python_tests/ops", folder / f"{source}.so"
    command = [compiler, *FLAGS, f"-I{ROOT / 'csrc'}", f"-I{here}", here / f"{source}.cpp", "-o", library]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def pointer(tensor: Tensor | None):
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def integers(*values: int):
    return (ctypes.c_int64 * len(values))(*values)


class SegmentKernels:
    """The kernels behind the CUDA ops on segments, with the arguments and results of the dispatcher ops."""

    def __init__(self, library: ctypes.CDLL):
        self.library = library

    def running_sums(self, values: Tensor) -> Tensor:
        sums = values.clone()
        self.library.add_up(pointer(sums), ctypes.c_int64(len(sums)))
        return sums

    def temporal_iou(self, a: Tensor, b: Tensor) -> Tensor:
        dtype = torch.promote_types(a.dtype, b.dtype)
        a, b = _doubles(a), _doubles(b)
        result = torch.empty(len(a), len(b), dtype=dtype)
        self.library.temporal_iou(pointer(a), pointer(b), ctypes.c_int64(len(a)), ctypes.c_int64(len(b)),
                                  DTYPES.index(dtype), pointer(result))
        return result

    def temporal_nms_padded(self, segments: Tensor, scores: Tensor, groups: Tensor, tiou_threshold: float,
                            offset: float) -> tuple[Tensor, Tensor]:
        segments, values, groups = _doubles(segments), _doubles(scores), groups.contiguous()
        kept, number = torch.empty_like(groups), torch.tensor(0)
        self.library.temporal_nms(
            pointer(segments), pointer(values), pointer(groups), ctypes.c_int64(len(groups)),
            ctypes.c_double(tiou_threshold), ctypes.c_double(offset), pointer(kept), pointer(number))
        return kept, number

    def soft_temporal_nms_padded(self, segments: Tensor, scores: Tensor, groups: Tensor, tiou_threshold: float,
                                 offset: float, method: str, sigma: float,
                                 min_score: float) -> tuple[Tensor, Tensor, Tensor]:
        segments, values, groups = _doubles(segments), _doubles(scores), groups.contiguous()
        kept, new_scores, number = torch.empty_like(groups), torch.empty_like(values), torch.tensor(0)
        self.library.soft_temporal_nms(
            pointer(segments), pointer(values), pointer(groups), ctypes.c_int64(len(groups)),
            ctypes.c_double(tiou_threshold), ctypes.c_double(offset), int(method == "gaussian"), ctypes.c_double(sigma),
            ctypes.c_double(min_score), pointer(kept), pointer(new_scores), pointer(number))
        return kept, new_scores.to(scores.dtype), number

    def propose_padded(self, cas: Tensor, thresholds: Tensor, class_mask: Tensor, lengths: Tensor, gate: Tensor | None,
                       outer_ratio: float, outer_closed: bool, outer_raw: bool, min_run: int, skip_run_at_zero: bool,
                       class_scores: Tensor, class_weight: float, capacity: int) -> tuple[Tensor, ...]:
        values = cas.double()  # any strides
        levels, weights, mask, lengths = (_doubles(thresholds), _doubles(class_scores), class_mask.contiguous(),
                                          lengths.contiguous())
        gate = None if gate is None else _doubles(gate)
        start, end, label, video = (torch.empty(capacity, dtype=torch.int64) for _ in range(4))
        score, number = torch.empty(capacity, dtype=torch.float64), torch.tensor(0)
        out = (ctypes.c_void_p * 4)(*(part.data_ptr() for part in (start, end, label, video)))
        self.library.propose(
            integers(*cas.shape, len(levels)), pointer(values), integers(*values.stride()), pointer(gate),
            pointer(lengths), pointer(mask), pointer(weights), ctypes.c_double(class_weight), pointer(levels),
            ctypes.c_double(outer_ratio), int(outer_closed), int(outer_raw), ctypes.c_int64(min_run),
            int(skip_run_at_zero), ctypes.c_int64(capacity), out, pointer(score), pointer(number))
        return start, end, score, label, video, number

    def propose_resampled_padded(
            self, sequences: Tensor, lengths: Tensor, counts: Tensor, durations: Tensor, thresholds: Tensor,
            resize: str, gate: Tensor | None, gate_thresholds: Tensor, outer_ratio: float, outer_closed: bool,
            min_run: int, skip_run_at_zero: bool, class_scores: Tensor, class_weight: float, max_count: int,
            capacity: int) -> tuple[Tensor, ...]:
        sequences, gate = sequences.contiguous(), None if gate is None else gate.contiguous()
        seconds, levels, gate_levels, weights = map(_doubles, (durations, thresholds, gate_thresholds, class_scores))
        segments, score = (torch.empty(shape, dtype=torch.float64) for shape in ((capacity, 2), capacity))
        row, gated, number = torch.empty(capacity).long(), torch.empty(capacity).bool(), torch.tensor(0)
        single = [tensor is not None and tensor.dtype == torch.float32 for tensor in (sequences, gate)]
        self.library.propose_resampled(
            integers(*sequences.shape, len(levels), len(gate_levels), max_count), pointer(sequences), pointer(gate),
            (ctypes.c_int * 2)(*single), pointer(lengths), pointer(counts), pointer(seconds),
            ("none", "stpn", "half_pixel").index(resize), pointer(levels), pointer(gate_levels),
            ctypes.c_double(outer_ratio), int(outer_closed), ctypes.c_int64(min_run), int(skip_run_at_zero),
            pointer(weights), ctypes.c_double(class_weight), ctypes.c_int64(capacity), pointer(segments),
            pointer(score), pointer(row), pointer(gated), pointer(number))
        return segments, score, row, gated, number

    def largest(self, counts: Tensor) -> int:
        self.library.largest.restype = ctypes.c_int64
        return self.library.largest(pointer(counts), ctypes.c_int64(len(counts)))

    def average_precision(self, pred_segments: Tensor, pred_scores: Tensor, pred_groups: Tensor, gt_segments: Tensor,
                          gt_groups: Tensor, num_classes: int, tiou_thresholds: Tensor) -> tuple[Tensor, bool]:
        """The average precision and whether a value is refused."""
        preds, scores, gt, levels = map(_doubles, (pred_segments, pred_scores, gt_segments, tiou_thresholds))
        names, gt_names, refused = pred_groups.contiguous(), gt_groups.contiguous(), torch.tensor(0)
        result = torch.empty(len(levels), num_classes, dtype=torch.float64)
        self.library.average_precision(
            pointer(preds), pointer(scores), pointer(names), ctypes.c_int64(len(names)), pointer(gt), pointer(gt_names),
            ctypes.c_int64(len(gt_names)), ctypes.c_int64(num_classes), pointer(levels), ctypes.c_int64(len(levels)),
            pointer(result), pointer(refused))
        return result, bool(refused)


def _doubles(tensor: Tensor) -> Tensor:
    return tensor.double().contiguous()
