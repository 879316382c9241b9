"""The networks against the released code: forward passes in train and eval mode, checkpoints, parameter counts."""

import pytest
import torch

from python_tests import tolerances
from python_tests.models.released_cases import (
    MODELS,
    released_case,
    released_state,
    sine,
    toy_batch,
    toy_model,
    toy_vectors,
)
from wtal_fast import ops


def assert_relative(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal to the released forward pass, relative to the largest value."""
    scale = expected.abs().max()
    torch.testing.assert_close(actual.detach() / scale, expected / scale, **tolerances.RELEASED_FORWARD)


@pytest.mark.parametrize("method", MODELS)
@pytest.mark.parametrize("with_lengths", [True, False])
def test_train_forward(shared, method, with_lengths):
    case = released_case(shared, method)
    output = case.model.train()(case.batch.features, case.batch.lengths if with_lengths else None)
    if method == "uncertainty":
        assert_relative(output.cas_logits.softmax(2), case.by_time("train/cas_softmax"))
        assert_relative(output.video_logits.softmax(1), torch.from_numpy(case.arrays["train/score_act"]))
        return
    for kind, cas, video in (("supp", output.cas_logits, output.video_logits),
                             ("base", output.base_cas_logits, output.base_video_logits)):
        assert_relative(cas, case.by_time(f"train/cas_{kind}"))
        scores = video if method == "backtal" else video.softmax(1)
        assert_relative(scores, torch.from_numpy(case.arrays[f"train/score_{kind}"]))
    assert_relative(output.foreground[:, :, None], case.by_time("train/fore_weights"))
    if method == "backtal":
        assert_relative(output.embedding, case.by_time("train/embedding"))
        assert_relative(ops.local_affinity(output.embedding), case.by_time("op/affinity_tile_first"))


@pytest.mark.parametrize("method", MODELS)
def test_eval_forward(shared, method):
    case = released_case(shared, method)
    output = case.model.eval()(case.batch.features, case.batch.lengths)
    assert output.base_cas_logits is None and output.base_video_logits is None and output.selection_mask is None
    if method == "uncertainty":
        assert_relative(output.cas_logits.softmax(2), case.by_time("eval/cas_softmax"))
        assert_relative(output.video_logits.softmax(1), torch.from_numpy(case.arrays["eval/score_act"]))
        features = case.by_time("eval/features")
    else:
        assert_relative(output.cas_logits, case.by_time("eval/cas_supp"))
        assert_relative(output.video_logits.softmax(1), torch.from_numpy(case.arrays["eval/score_supp"]))
        features = case.by_time("eval/feature_supp_1") if method == "backtal" else None
    if features is not None:
        assert_relative(output.features, features)
        assert_relative(output.magnitude, features.norm(dim=2))


@pytest.mark.parametrize("method", MODELS)
def test_released_checkpoint_is_recognised_by_its_own_method_only(shared, method):
    shapes = {name: tuple(tensor.shape) for name, tensor in released_state(shared, method).items()}
    found = {name: model.widths_of(shapes) for name, model in MODELS.items()}
    assert [name for name, widths in found.items() if widths] == [method]
    assert {key: found[method][key] for key in ("feature_dim", "hidden_dim", "num_classes")} == {
        "feature_dim": 48, "hidden_dim": 64, "num_classes": 5}


@pytest.mark.parametrize(("method", "count"), [("basnet", 26_262_529), ("uncertainty", 12_625_920),
                                               ("backtal", 29_453_857)])
def test_parameter_count_at_the_released_widths(method, count):
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in MODELS[method]().parameters()) == count


def test_toy_basnet(shared):
    expected = toy_vectors(shared)["basnet_forward"]
    output = toy_model("basnet", expected)(toy_batch().features)
    for name, value in (("score_base", output.base_video_logits.softmax(1)),
                        ("score_supp", output.video_logits.softmax(1)),
                        ("cas_base_b0_t0", output.base_cas_logits[0, 0]), ("cas_supp_b1_t39", output.cas_logits[1, 39]),
                        ("fore_b0_t0to4", output.foreground[0, :5])):
        assert_relative(value, torch.tensor(expected[name], dtype=torch.float64))


def test_toy_uncertainty(shared):
    expected = toy_vectors(shared)["um_forward"]
    output = toy_model("uncertainty", expected)(toy_batch().features)
    selected = ops.topk_mean(output.magnitude[:, :, None], expected["k_act"])[:, 0]
    background = ops.topk_mean(output.magnitude[:, :, None], expected["k_bkg"], largest=False)[:, 0]
    mean_feature = ops.topk_select_mean(output.features, output.magnitude, expected["k_act"])
    for name, value in (("score_act", output.video_logits.softmax(1)), ("mag_b0_t0to4", output.magnitude[0, :5]),
                        ("cas_softmax_b0_t0", output.cas_logits[0, 0].softmax(0)), ("mean_mag_act", selected),
                        ("mean_mag_bkg", background), ("norm_of_mean_act", mean_feature.norm(dim=1))):
        assert_relative(value, torch.tensor(expected[name], dtype=torch.float64))


def test_toy_backtal(shared):
    expected = toy_vectors(shared)["backtal_forward_official"]
    output = toy_model("backtal", expected)(toy_batch().features)
    for name, value in (("score_base_logits", output.base_video_logits), ("score_supp_logits", output.video_logits),
                        ("cas_base_b0_t0", output.base_cas_logits[0, 0]),
                        ("emb_b0_t0_first4", output.embedding[0, 0, :4]), ("fore_b0_t0to4", output.foreground[0, :5])):
        assert_relative(value, torch.tensor(expected[name], dtype=torch.float64))


@pytest.mark.parametrize("layout", ["paper", "official"])
def test_toy_affinity_convolution(shared, layout):
    expected = toy_vectors(shared)["affinity_conv_toy"]
    x = sine((1, 4, 6), 0.9, 0.3).transpose(1, 2)
    embedding = torch.nn.functional.normalize(sine((1, 2, 6), 1.3, 0.5), dim=1).transpose(1, 2)
    affinity = ops.local_affinity(embedding)
    assert_relative(affinity[0].t(), torch.tensor(expected["similarity"], dtype=torch.float64))
    out = ops.affinity_conv1d(x, affinity, sine((2, 4, 3), 0.41, 0.7), layout=layout)
    assert_relative(out[0].t(), torch.tensor(expected[layout], dtype=torch.float64))
