"""With many classes the class loss of the released BaS-Net and UM does not train; that of the papers does."""

import pytest

from bench import class_counts


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(class_counts.PRESET))
def test_a_hundred_classes_need_the_sum_over_classes(method):
    released, paper = (class_counts.one_run(method, loss, 100, seed=0) for loss in ("bce", "ce"))
    assert paper["map_50"] > released["map_50"] + 0.1
    assert paper["video_map"] > released["video_map"]
