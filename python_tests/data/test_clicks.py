"""Click files of every layout, read and refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wtal_fast.data.annotations import read_annotations, select_subset
from wtal_fast.data.click_files import read_clicks
from wtal_fast.data.clicks import (
    background_intervals,
    click_positions,
    clicks_of_rows,
    contradicted_clicks,
    join_clicks,
    simulate_action_clicks,
    simulate_background_clicks,
)
from wtal_fast.errors import InputError
from wtal_fast.structures import NO_CLICK, Annotations

HEADER = "URLID,URL,TagID,Tag,Start,End,Time,State\n"
NAMES = ("run", "jump_up")
VIDEOS, DURATIONS = ("a", "b"), np.array([10.0, 20.0])


def read(folder, text, **options):
    path = folder / "clicks.txt"
    path.write_bytes(text.encode())
    return read_clicks(path, NAMES, VIDEOS, DURATIONS, **options)


def background(video, start, end=None):
    return f"{video},{video}.mp4,20,background_background,{start},{start if end is None else end},1,1\n"


def annotations(*instances, videos=VIDEOS):
    segments = np.array([[start, end] for _, start, end, _ in instances], dtype=float).reshape(-1, 2)
    return Annotations(segments, np.array([c for *_, c in instances], dtype=np.int64),
                       np.array([videos.index(v) for v, *_ in instances], dtype=np.int64), NAMES, videos,
                       ("train",) * len(videos), np.full(len(videos), np.nan), np.full(len(videos), np.nan))


def test_background_clicks_with_byte_order_mark_and_ranges(tmp_path):
    text = "\ufeff" + HEADER + background("b", 3.5) + background("a", 1, 2) + background("a", 9.5).rstrip("\n")
    found = read(tmp_path, text)
    np.testing.assert_array_equal(found.seconds, [3.5, 1.5, 9.5])
    np.testing.assert_array_equal(found.classes, [2, 2, 2])
    np.testing.assert_array_equal(found.video_index, [1, 0, 0])
    found = read(tmp_path, text, ranges="half_seconds")
    np.testing.assert_array_equal(found.seconds, [3.5, 1, 1.5, 2, 9.5])


def test_tags_of_actions_and_background(tmp_path):
    tags = ("run", "run_run", "jump_up", "jump_up_jump_up", "background")
    found = read(tmp_path, HEADER + "".join(f"a,a.mp4,1,{tag},1,1,1,1\n" for tag in tags))
    assert found.classes.tolist() == [0, 0, 1, 1, 2]


def test_action_clicks_with_blank_lines_and_carriage_returns(tmp_path):
    found = read(tmp_path, "a,1.25, run\r\n\r\nb,2,jump_up \r\n\r\n")
    np.testing.assert_array_equal(found.seconds, [1.25, 2])
    np.testing.assert_array_equal(found.classes, [0, 1])


def test_a_file_without_clicks_and_a_video_without_clicks(tmp_path):
    assert len(read(tmp_path, HEADER)) == 0
    found = read(tmp_path, HEADER + background("b", 1))
    positions = click_positions(found, DURATIONS, 4)
    assert (positions[0] == NO_CLICK).all() and positions[1].tolist() == [2, NO_CLICK, NO_CLICK, NO_CLICK]


def test_clicks_of_other_videos_are_left_out_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="2 clicks are in videos that are not used, such as 'zz'"):
        found = read(tmp_path, HEADER + background("zz", 999) + background("a", 1) + background("y", 1))
    assert len(found) == 1


BAD_ROWS = {
    "after the end": (HEADER + background("a", 12), r"line 2, video 'a' · expected a time within 0..10 s · found 12 s"),
    "before the start": (HEADER + background("a", -0.5), "found -0.5 s"),
    "range leaves the video": (HEADER + background("a", 9, 9999999), "found 9 to 1e\\+07 s"),
    "range backwards": (HEADER + background("a", 3, 2), "line 2 · expected start <= end"),
    "words": (HEADER + background("a", "soon"), "line 2 · expected start <= end in seconds · found 'soon'"),
    "nan": (HEADER + background("a", "nan"), "expected start <= end"),
    "comma decimals": (HEADER + background("a", "1,5"), "line 2 · expected 8 cells as in the header · found 10 cells"),
    "unknown tag": (HEADER + "a,a.mp4,1,rum_rum,1,1,1,1\n", "found tag 'rum_rum' · did you mean 'run'"),
    "unknown class": ("a,1,jump\n", "line 1 · expected a class name or background"),
    "short row": ("a,1\n", "expected video,seconds,class · found 2 cells"),
    "nul": ("a,1,run\0\n", "line 1"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows_are_named(tmp_path, name):
    text, message = BAD_ROWS[name]
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert "clicks.txt" in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(InputError, match="nothing there"):
        read_clicks(tmp_path / "absent.txt", NAMES, VIDEOS, DURATIONS)
    (tmp_path / "clicks.txt").write_bytes(b"\xff\xfea\0")
    with pytest.raises(InputError, match="expected UTF-8 text"):
        read_clicks(tmp_path / "clicks.txt", NAMES, VIDEOS, DURATIONS)


def test_a_click_just_after_the_end_is_allowed_and_lands_on_the_last_snippet(tmp_path):
    found = read(tmp_path, HEADER + background("a", 10.9))
    assert click_positions(found, DURATIONS, 5)[0].tolist() == [NO_CLICK] * 4 + [2]
    with pytest.raises(InputError):
        read(tmp_path, HEADER + background("a", 10.9), tolerance=0.5)


def test_positions_by_hand():
    rows = [(0.0, 2, 0), (2.5, 2, 0), (2.4999, 2, 0), (9.99, 0, 0), (10.0, 2, 0), (5.0, 1, 1), (5.1, 2, 1), (19, 1, 1),
            (19, 0, 1)]
    positions = click_positions(clicks_of_rows(rows, NAMES, VIDEOS), DURATIONS, 4)
    assert positions.tolist() == [[2, 2, NO_CLICK, 0], [NO_CLICK, 1, NO_CLICK, 0]]
    assert positions.dtype == np.int64


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 2)), max_size=8), st.integers(1, 40))
def test_positions_equal_the_plain_form(clicks, num_snippets):
    wanted = [NO_CLICK] * num_snippets
    for seconds, number in clicks:
        index = min(max(int(np.floor(seconds / 10.0 * num_snippets)), 0), num_snippets - 1)
        wanted[index] = number if wanted[index] == NO_CLICK else min(wanted[index], number)
    rows = clicks_of_rows([(seconds, number, 0) for seconds, number in clicks], NAMES, ("a",))
    assert click_positions(rows, np.array([10.0]), num_snippets)[0].tolist() == wanted


def test_kinds_and_videos():
    clicks = clicks_of_rows([(1, 2, 0), (2, 0, 1), (3, 2, 1)], NAMES, VIDEOS)
    assert clicks.of_kind("background").seconds.tolist() == [1, 3]
    assert clicks.of_kind("action").seconds.tolist() == [2]
    assert clicks.of_kind("both").seconds.tolist() == [1, 2, 3] and len(clicks.of_kind("none")) == 0
    swapped = clicks.of_videos(("c", "b"))
    assert swapped.seconds.tolist() == [2, 3] and swapped.video_index.tolist() == [1, 1]
    assert len(clicks.of_kind("none").of_videos(("a",))) == 0
    assert join_clicks([clicks, clicks.of_kind("action")]).seconds.tolist() == [1, 2, 3, 2]
    with pytest.raises(ValueError, match="kinds must be none, background, action or both, got 'all'"):
        clicks.of_kind("all")


@pytest.mark.parametrize(("segments", "gaps"), [
    ([], [[0, 10]]), ([[2, 4]], [[0, 2], [4, 10]]), ([[0, 4], [3, 6]], [[6, 10]]), ([[0, 10]], []),
    ([[3, 9], [4, 5]], [[0, 3], [9, 10]]), ([[8, 99]], [[0, 8]]), ([[5, 5]], [[0, 10]]),
    ([[2, 4], [4, 6]], [[0, 2], [6, 10]]), ([[12, 15]], [[0, 10]]),
])
def test_background_intervals_by_hand(segments, gaps):
    found = background_intervals(np.array(segments, dtype=float).reshape(-1, 2), 10.0)
    np.testing.assert_array_equal(found, np.array(gaps, dtype=float).reshape(-1, 2))


def test_simulated_clicks_lie_where_they_should():
    truth = annotations(("a", 2, 4, 0), ("a", 3, 5, 1), ("a", 9.9, 30, 0), ("b", 19, 19.5, 1), ("b", 25, 30, 1))
    for seed in range(20):
        clicks = simulate_background_clicks(truth, DURATIONS, seed)
        assert clicks.video_index.tolist() == [0, 0, 1, 1] and clicks.is_background.all()
        assert not contradicted_clicks(clicks, truth).any()
        clicks = simulate_action_clicks(truth, DURATIONS, seed)
        assert clicks.classes.tolist() == [0, 1, 0, 1] and not contradicted_clicks(clicks, truth).any()
        assert (clicks.seconds <= DURATIONS[clicks.video_index]).all()


def test_simulated_clicks_skip_short_gaps_and_depend_on_seed_and_id_only():
    truth = annotations(("a", 1, 9, 0), ("b", 15, 20, 0))
    assert simulate_background_clicks(truth, DURATIONS, min_gap=2).video_index.tolist() == [1]
    first = simulate_background_clicks(truth, DURATIONS, 1)
    np.testing.assert_array_equal(first.seconds, simulate_background_clicks(truth, DURATIONS, 1).seconds)
    assert (first.seconds != simulate_background_clicks(truth, DURATIONS, 2).seconds).all()
    alone = annotations(("b", 15, 20, 0), videos=("b",))
    np.testing.assert_array_equal(first.of_videos(("b",)).seconds,
                                  simulate_background_clicks(alone, DURATIONS[1:], 1).seconds)


def test_simulated_clicks_are_uniform():
    truth = annotations(("a", 4, 6, 0))
    draws = np.stack([simulate_background_clicks(truth, DURATIONS, seed).seconds for seed in range(800)])[:, 0] / 4
    assert abs(draws.mean() - 0.5) < 5 * (1 / 12 / 800) ** 0.5  # five sigma
    assert draws.min() < 0.02 and draws.max() > 0.98


def test_contradicted_clicks_by_hand():
    truth = annotations(("a", 2, 4, 0), ("b", 5, 6, 1))
    rows = [(2, 2, 0), (4, 2, 0), (4.1, 2, 0), (3, 0, 0), (3, 1, 0), (5.5, 2, 1), (9, 1, 1)]
    clicks = clicks_of_rows(rows, NAMES, VIDEOS)
    assert contradicted_clicks(clicks, truth).tolist() == [True, True, False, False, True, True, True]


@pytest.fixture(scope="module")
def thumos14(shared):
    found = select_subset(read_annotations(shared / "data/thumos14/gt_backtal.json"), "val")
    return shared / "data/thumos14", found


@pytest.mark.parametrize(("annotator", "count", "videos", "inside"), [(1, 2264, 200, 175), (2, 2323, 199, 52),
                                                                     (3, 2344, 199, 175)])
def test_background_clicks_of_thumos14(thumos14, annotator, count, videos, inside):
    folder, truth = thumos14
    path = folder / f"background_clicks/THUMOS14_Background-Click-Annotation_A{annotator}.txt"
    clicks = read_clicks(path, truth.class_names, truth.video_ids, truth.durations, tolerance=0)
    assert (len(clicks), len(set(clicks.video_index))) == (count, videos) and clicks.is_background.all()
    assert contradicted_clicks(clicks, truth).sum() == inside
    without = set(truth.video_ids) - {truth.video_ids[index] for index in clicks.video_index}
    assert without == (set() if annotator == 1 else {"video_validation_0000947"})
    assert (click_positions(clicks, truth.durations, 750) == 20).sum() <= count


@pytest.mark.parametrize(("annotator", "count"), [(1, 2980), (3, 3014), (4, 2986)])
def test_action_clicks_of_thumos14(thumos14, annotator, count):
    folder, truth = thumos14
    path = folder / f"action_clicks/THUMOS{annotator}.txt"
    clicks = read_clicks(path, truth.class_names, truth.video_ids, truth.durations)
    assert len(clicks) == count and not clicks.is_background.any()
    assert contradicted_clicks(clicks, truth).mean() < 0.05


def test_the_damaged_id_of_the_second_annotator_is_reported(thumos14):
    folder, truth = thumos14
    with pytest.warns(UserWarning, match="1 clicks .* 'ideo_validation_0000945'"):
        clicks = read_clicks(folder / "action_clicks/THUMOS2.txt", truth.class_names, truth.video_ids, truth.durations)
    assert len(clicks) == 2919


def test_background_intervals_of_thumos14(thumos14):
    _, truth = thumos14
    clicks = simulate_background_clicks(truth, truth.durations)
    assert len(clicks) == 2880 and not contradicted_clicks(clicks, truth).any()
    assert len(simulate_action_clicks(truth, truth.durations)) == 3003
