"""Presets: every value has a source, official ones are the released settings, overrides obey their rules."""

from __future__ import annotations

import pytest

from python_tests.localization import released
from wtal_fast.config import LocalizationConfig
from wtal_fast.engine.methods import build_loss, build_model, configure, restore_config
from wtal_fast.errors import InputError
from wtal_fast.preset_files import load_preset, parse_overrides, preset_names
from wtal_fast.ranges import MAX_VALUES, expand_range

METHODS = ("basnet", "uncertainty", "backtal")
DATASETS = ("thumos14", "activitynet12", "activitynet13", "hacs", "beoid", "gtea", "streams")
VARIANTS = ("official", "paper", "recommended")


def test_every_promised_preset_exists():
    promised = {f"{m}/{d}/{v}" for m in METHODS for d in DATASETS for v in VARIANTS}
    promised |= {f"{m}/own/recommended" for m in METHODS}
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


def test_hacs_settings_name_the_file_they_were_released_in():
    keys = ("loss.separation_ratio", "loss.separation_weight", "train.seed", "localization.class_weight",
            "train.selection_metric")
    for variant in ("official", "recommended"):
        values = load_preset(f"backtal/hacs/{variant}").values
        assert [values[key].value for key in keys] == [0.2, 0.1, 5, 0.6, "average"]
        assert {values[key].source for key in keys} == {"released HACS.yaml"}


@pytest.mark.parametrize("dataset", ["activitynet12", "activitynet13", "hacs"])
def test_recommended_losses_over_many_classes_do_not_shrink_with_their_number(dataset):
    basnet, um = (configure(f"{method}/{dataset}/recommended").loss for method in ("basnet", "uncertainty"))
    assert (basnet["class_loss"], um["class_loss"], um["background_entropy"]) == ("ce", "ce", "mean_softmax_ce")
    released_forms = [configure(f"{method}/{dataset}/official").loss["class_loss"] for method in METHODS[:2]]
    assert released_forms == ["bce", "bce"]


def test_the_backtal_paper_averages_over_its_own_overlaps():
    assert configure("backtal/thumos14/paper").evaluation.tiou == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.7])
    assert configure("backtal/beoid/paper").evaluation.tiou == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


@pytest.mark.parametrize("method", METHODS)
def test_official_presets_say_for_which_data_sets_nothing_was_released(method):
    of_backtal = {"thumos14", "activitynet12", "hacs"}
    for dataset in DATASETS[:-1]:
        about = load_preset(f"{method}/{dataset}/official").about
        was_released = dataset in (of_backtal if method == "backtal" else {"thumos14"})
        assert was_released != about.endswith("none were released for this data set")
        base = "ActivityNet 1.2" if (method, dataset) == ("backtal", "activitynet13") else "THUMOS'14"
        assert was_released or f"the released code's {base} settings" in about


def test_no_recommended_preset_sets_a_threshold_that_its_nms_does_not_read():
    for name in preset_names():
        values = load_preset(name).values
        if name.endswith("/recommended") and values["localization.nms"].value == "soft_gaussian":
            assert not values["localization.nms_threshold"].preset.endswith("/recommended"), name


@pytest.mark.parametrize(("method", "seed"), [("basnet", 0), ("uncertainty", 0), ("backtal", 38)])
def test_what_decides_a_run_has_a_source(method, seed):
    values = load_preset(f"{method}/thumos14/official").values
    expected = {"train.seed": seed, "train.precision": "fp32", "evaluation.protocol": "activitynet",
                "train.selection_metric": 0.5 if method == "backtal" else "average"}
    if method == "basnet":
        expected |= {"loss.base_weight": 1.0, "loss.supp_weight": 1.0}
    assert {key: values[key].value for key in expected} == expected
    assert "released" in values["train.seed"].source


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
    ("model.filter_dim", 8, "known key"),
    ("model.hidden_dim", "wide", "valid integer"),
    ("loss.background_entropy", "other", "mean_softmax_ce"),
    ("train.batch_size", 0, "greater than or equal to 1"),
    ("localization.thresholds", "0.5:0.1:0.1", "stop >= start"),
    ("localization.thresholds", "linspace(0,1)", "three numbers"),
    ("localization.thresholds", [0.1, float("nan")], "finite number"),
    ("localization.magnitude_thresholds", [float("inf")], "finite number"),
    ("evaluation.tiou", 0, "greater than 0"),
    ("evaluation.tiou", "0.5,1.01", "less than or equal to 1"),
    ("evaluation.tiou", [], "at least 1 item"),
    ("train.selection_metric", "best", "'average' or"),
    ("train.selection_metric", 0.55, "one of evaluation.tiou (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7) · found 0.55"),
    ("train.selection_metric", float("nan"), "one of evaluation.tiou"),
    ("train.betas", [0.9, 1.0], "less than 1"),
    ("train.betas", [-0.1, 0.9], "greater than or equal to 0"),
    ("data.class_names", "Jump,Run,Jump", "Jump more than once"),
    ("data.class_names", ["Jump", ""], "not empty"),
])
def test_wrong_overrides_are_named(key, value, expected):
    with pytest.raises(InputError) as error:
        configure("uncertainty/thumos14/official", {key: value})
    assert str(error.value).startswith(f"setting {key} · expected ")
    assert expected in str(error.value)
    assert "Input should" not in str(error.value)


def test_overrides_are_read_as_yaml_scalars():
    found = parse_overrides(["a.b=1", "c=null", "d=[1, 2]", "e=x.json", "f=1e-3", "g="])
    assert found == {"a.b": 1, "c": None, "d": [1, 2], "e": "x.json", "f": "1e-3", "g": None}
    assert configure("basnet/thumos14/official", {"train.learning_rate": "1e-3"}).train.learning_rate == 1e-3
    with pytest.raises(InputError, match="key=value"):
        parse_overrides(["--verbose"])


@pytest.mark.parametrize(("text", "metric"), [("0.5", 0.5), ("average", "average"), ("0.30", 0.3)])
def test_the_metric_that_selects_is_the_average_or_a_number(text, metric):
    overrides = parse_overrides([f"train.selection_metric={text}"])
    assert configure("basnet/thumos14/official", overrides).train.selection_metric == metric
    assert configure("basnet/thumos14/official", {"train.selection_metric": text}).train.selection_metric == metric


@pytest.mark.parametrize(("word", "names"), [
    ("Jump", ("Jump",)), ("Jump, Long Run", ("Jump", "Long Run")), ("[Jump, Run]", ("Jump", "Run")), ("", None),
])
def test_class_names_of_a_command_line(word, names):
    overrides = parse_overrides([f"data.class_names={word}"])
    assert configure("basnet/thumos14/official", overrides).data.class_names == names
    if names:
        assert configure("basnet/thumos14/official", {"data.class_names": word}).data.class_names == names


def test_an_unknown_preset_is_met_with_the_presets_of_its_method():
    with pytest.raises(InputError, match="did you mean 'basnet/thumos14/official'"):
        load_preset("basnet/thumos14/oficial")
    with pytest.raises(InputError) as error:
        load_preset("basnet")
    found = error.value.fix.removeprefix("known: ").split(", ")
    assert found == [name for name in preset_names() if name.startswith("basnet/")]


def test_ranges():
    assert expand_range("0:0.25:0.5") == (0, 0.25, 0.5)
    assert expand_range("arange(0,0.3,0.1)") == (0.0, 0.1, 0.2)
    assert expand_range("linspace(0,1,3)") == (0, 0.5, 1)
    assert expand_range("linspace(1, 0, 3)") == (1, 0.5, 0)
    assert expand_range("0.5,0.75") == (0.5, 0.75)
    assert expand_range("0.5") == expand_range(0.5) == (0.5,)
    assert expand_range("0.5:0.1:0.5") == (0.5,)
    assert expand_range([0.5, 0.75]) == [0.5, 0.75]
    assert len(LocalizationConfig().thresholds) == 21
    assert len(expand_range(f"linspace(0,1,{MAX_VALUES})")) == len(expand_range("0:0.0001:0.9999")) == MAX_VALUES


@pytest.mark.parametrize(("text", "rule"), [
    ("linspace(0,1)", "three numbers"), ("arange(0.1)", "three numbers"), ("linspace()", "three numbers"),
    ("0.1:0.9", "three numbers"), ("0:0.1:0.5:1", "three numbers"),
    ("0:0.3:0.5", "step divides"), ("0:0.7:0.5", "step divides"),
    ("arange(0,1,0)", "step > 0"), ("arange(0,1,-0.1)", "step > 0"), ("0:0:1", "step > 0"), ("0:-0.1:1", "step > 0"),
    ("0.1:1e-9:0.9", "10,000"), ("arange(0,1,1e-320)", "10,000"), ("linspace(0,1,10001)", "10,000"),
    ("0:0.0001:1", "10,000"), ("linspace(0,1,0)", "10,000"), ("arange(1,0,0.1)", "10,000"),
    ("linspace(0,1,2.5)", "whole number"), ("0.5:0.1:0.1", "stop >= start"),
    ("linspace(0,nan,3)", "finite"), ("arange(0,inf,1)", "finite"), ("0:0.1:inf", "finite"), ("nan", "finite"),
    (float("nan"), "finite"), (float("inf"), "finite"),
    ("0.1,inf", "finite"), ("0.1,,0.2", "numbers a,b,c"), ("", "numbers a,b,c"), ("half", "numbers a,b,c"),
])
def test_what_is_no_range_is_refused_in_words(text, rule):
    with pytest.raises(ValueError, match=rule):
        expand_range(text)


@pytest.mark.parametrize("word", ["auto", "on", "off"])
def test_on_and_off_are_words(word):
    overrides = parse_overrides([f"train.cuda_graph={word}"])
    assert configure("basnet/thumos14", overrides).train.cuda_graph == word
