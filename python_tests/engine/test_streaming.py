"""Sets that do not fit: memory stays that of two batches, however large the set."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from python_tests.conftest import ROOT

SCRIPT = textwrap.dedent("""
    import sys
    import numpy as np
    import torch
    from pathlib import Path
    from bench.environment import resident_bytes
    from python_tests.engine.tiny import overrides
    from wtal_fast.data.dataset import Dataset
    from wtal_fast.data.packed import packed_features
    from wtal_fast.data.packed_index import open_packed
    from wtal_fast.data.packed_writer import PackWriter
    from wtal_fast.engine.distributed import Processes
    from wtal_fast.engine.feed import training_feed
    from wtal_fast.engine.methods import configure
    from wtal_fast.engine.sampler import BatchPlan

    folder, videos, length, width = Path(sys.argv[1]), 48, 500, 512
    writer = PackWriter(folder, [("rgb", width)], {"source": "made up"}, 2**24)
    draw = np.random.default_rng(0)
    for number in range(videos):
        writer.add(f"v{number}", "train", draw.random((length, width), np.float32), frame_count=length)
    ids = [f"v{number}" for number in range(videos)]
    writer.finish(ids, {"gt.json": b"{}"}, {"layout": "test"})
    del writer

    features = packed_features(open_packed(folder), ids)
    lengths = features.lengths
    dataset = Dataset(features=features, video_ids=tuple(ids), class_names=("a", "b"), durations=lengths.double(),
                      frame_counts=lengths, labels=torch.ones(videos, 2))
    config = configure("basnet/thumos14/official", overrides("basnet", data__num_snippets=64))
    feed = training_feed(config, dataset, BatchPlan(videos, 4, 0), torch.device("cpu"), Processes())
    feed.part(feed.inputs(0), slice(0, 4))
    before, most = resident_bytes("RssAnon"), 0
    for step in range(1, 3 * videos // 4):
        assert feed.part(feed.inputs(step), slice(0, 4)).features.shape == (4, 64, width)
        most = max(most, resident_bytes("RssAnon") - before)
    print(most, 4 * videos * length * width, 4 * 4 * 64 * width)
""")


def test_memory_is_that_of_a_few_batches(tmp_path):
    result = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "packed")], cwd=ROOT, capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr
    grown, whole, batch = map(int, result.stdout.split())
    assert grown < 8 * batch < whole / 10
