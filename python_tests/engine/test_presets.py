"""Presets: every value has a source, official ones are the released settings, overrides obey their rules."""

from __future__ import annotations

import pytest

from python_tests.localization import released
from wtal_fast.config import LocalizationConfig, expand_range
from wtal_fast.engine.methods import build_loss, build_model, configure, restore_config
from wtal_fast.errors import InputError
from wtal_fast.preset_files import load_preset, parse_overrides, preset_names

METHODS = ("basnet", "uncertainty", "backtal")
DATASETS = ("thumos14", "activitynet12", "activitynet13", "hacs", "beoid", "gtea", "streams")
VARIANTS = ("official", "paper", "recommended")


def test_every_promised_preset_exists():
    promised = {f"{m}/{d}/{v}" for m in METHODS for d in DATASETS for v in VARIANTS}
    assert promised | {f"basnet/thumos14_unt/{v}" for v in VARIANTS} == set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_resolves_and_every_value_has_a_source(name):
    preset = load_preset(name)
    assert preset.about and all(len(value.source) > 3 for value in preset.values.values())
    config = configure(name)
    assert (config.train.iterations is None) != (config.train.epochs is None)
    assert config.preset == name
    narrow = {"feature_dim": 4, "hidden_dim": 4}
    build_model(config.model_copy(update={"model": config.model | narrow}), 3)
    build_loss(config)
    assert restore_config(config.model_dump(mode="json"), "test") == config


@pytest.mark.parametrize(("name", "settings"), [
    ("basnet/thumos14/official", released.BASNET),
    ("uncertainty/thumos14/official", released.UM),
    ("backtal/thumos14/official", released.BACKTAL_THUMOS),
    ("backtal/activitynet12/official", released.BACKTAL_ACTIVITYNET),
])
def test_official_localization_is_the_one_the_golden_detections_are_made_with(name, settings):
    unused = {} if settings.magnitude_thresholds else {"magnitude_source": settings.magnitude_source}
    assert configure(name).localization.model_copy(update=unused) == settings


def test_the_settings_of_the_three_backtal_data_sets():
    rows = {name: configure(f"backtal/{name}/official") for name in ("thumos14", "activitynet12", "hacs")}
    assert [c.train.epochs for c in rows.values()] == [40, 25, 8]
    assert [c.train.learning_rate for c in rows.values()] == [1e-4, 2e-4, 1e-4]
    assert [c.train.batch_size for c in rows.values()] == [16, 128, 64]
    assert [c.train.seed for c in rows.values()] == [38, 5, 5]
    assert [c.data.num_snippets for c in rows.values()] == [750, 100, 200]
    assert [c.model["pool_ratio"] for c in rows.values()] == [0.125, 0.6, 0.6]
    assert [c.loss["separation_weight"] for c in rows.values()] == [1, 0.1, 0.1]
    assert [c.localization.class_threshold for c in rows.values()] == [0.25, 0.1, 0.075]
    assert [len(c.localization.thresholds) for c in rows.values()] == [10, 6, 8]
    assert [c.localization.nms_threshold for c in rows.values()] == [0.55, 0.7, 0.71]
    assert [c.localization.outer_ratio for c in rows.values()] == [0.25, 20, 200]
    assert [c.localization.class_weight for c in rows.values()] == [0.2, 0.6, 0.6]
    paper = [configure(f"backtal/{name}/paper").train.epochs for name in rows]
    assert paper == [100, 25, 8]


def test_an_override_of_iterations_clears_epochs_and_the_reverse():
    assert configure("backtal/thumos14/official", {"train.iterations": 5}).train.epochs is None
    assert configure("basnet/thumos14/official", {"train.epochs": 5}).train.iterations is None


def test_widths_do_not_change_each_other():
    before = configure("backtal/thumos14/official").model
    for key in ("feature_dim", "hidden_dim", "filter_dim", "embedding_hidden_dim", "embedding_dim"):
        after = configure("backtal/thumos14/official", {f"model.{key}": 24}).model
        assert {name for name in before if before[name] != after[name]} == {key}


@pytest.mark.parametrize(("key", "value", "expected"), [
    ("train.learning_rat", 1, "train.learning_rate"),
    ("model.filter_dim", 8, "uncertainty"),
    ("model.hidden_dim", "wide", "model.hidden_dim"),
    ("loss.background_entropy", "other", "loss.background_entropy"),
    ("train.batch_size", 0, "train.batch_size"),
    ("localization.thresholds", "0.5:0.1:0.1", "thresholds"),
])
def test_wrong_overrides_are_named(key, value, expected):
    with pytest.raises(InputError) as error:
        configure("uncertainty/thumos14/official", {key: value})
    assert expected in str(error.value) or key in str(error.value)


def test_overrides_are_read_as_yaml_scalars():
    found = parse_overrides(["a.b=1", "c=null", "d=[1, 2]", "e=x.json", "f=1e-3", "g="])
    assert found == {"a.b": 1, "c": None, "d": [1, 2], "e": "x.json", "f": "1e-3", "g": None}
    assert configure("basnet/thumos14/official", {"train.learning_rate": "1e-3"}).train.learning_rate == 1e-3
    with pytest.raises(InputError, match="key=value"):
        parse_overrides(["--verbose"])


def test_ranges():
    assert expand_range("0:0.25:0.5") == (0, 0.25, 0.5)
    assert expand_range("arange(0,0.3,0.1)") == (0.0, 0.1, 0.2)
    assert expand_range("linspace(0,1,3)") == (0, 0.5, 1)
    assert expand_range("0.5,0.75") == (0.5, 0.75)
    assert len(LocalizationConfig().thresholds) == 21
