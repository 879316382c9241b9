"""Which sets are held in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wtal_fast.data import residency
from wtal_fast.data.features import FeatureSet, MappedFeatureSet, features_from_arrays
from wtal_fast.data.layouts.subset_folders import SubsetFolders, part_of_folder
from wtal_fast.data.stored_features import features_of_part


@pytest.mark.parametrize(("resident", "share", "expected"), [
    ("memory", 9, False), ("mapped", 0, True), ("auto", 0.49, False), ("auto", 0.51, True)])
def test_the_rule(resident, share, expected, monkeypatch):
    monkeypatch.setattr(residency, "available_bytes", lambda: 1000)
    assert residency.stays_on_disk(resident, int(share * 1000)) is expected


def test_every_process_of_this_machine_counts_its_copy(monkeypatch):
    monkeypatch.setattr(residency, "available_bytes", lambda: 1000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert residency.stays_on_disk("auto", 126) and not residency.stays_on_disk("auto", 125)


def test_a_control_group_is_a_limit(tmp_path):
    assert residency._group_bytes(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 50\n")
    assert residency._group_bytes(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert residency._group_bytes(tmp_path) == float("inf")
    assert 0 < residency.available_bytes() < 2**50


def test_large_sets_stay_on_disk(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.ones((10, 4), np.float32))
    layout = SubsetFolders(tmp_path)
    for free, kind in ((1000, FeatureSet), (100, MappedFeatureSet)):
        monkeypatch.setattr(residency, "available_bytes", lambda free=free: free)
        assert isinstance(features_of_part(layout, part_of_folder(tmp_path), ["a"], resident="auto"), kind)


def test_gathering_into_given_memory():
    features = features_from_arrays([torch.randn(5, 3), torch.randn(9, 3)])
    index = torch.tensor([[0, 2, 4, 4], [1, 1, 7, 8]])
    out = torch.full((2, 4, 3), torch.nan)
    found = features.gather(torch.tensor([0, 1]), index, out)
    assert found.data_ptr() == out.data_ptr()
    assert torch.equal(out, features.gather(torch.tensor([0, 1]), index))
