"""What every network promises: padding changes nothing, dropout splits over processes, widths are independent."""

from dataclasses import fields

import pytest
import torch

from python_tests import tolerances
from wtal_fast import ops
from wtal_fast.models import BackTAL, BaSNet, UncertaintyModel
from wtal_fast.models.layers import ShardedDropout, divided_snippets, pooled_snippets
from wtal_fast.structures import CASOutput

WIDTHS = {
    BaSNet: {"feature_dim": 6, "hidden_dim": 10, "num_classes": 3, "filter_dim": 5},
    UncertaintyModel: {"feature_dim": 6, "hidden_dim": 10, "num_classes": 3},
    BackTAL: {"feature_dim": 6, "hidden_dim": 10, "num_classes": 3, "filter_dim": 5, "embedding_hidden_dim": 7,
              "embedding_dim": 4, "kernel_size": 3, "affinity": True},
}
VARIANTS = [
    *((BaSNet, {"branches": branches}) for branches in ("both", "base", "base_background", "suppression")),
    (UncertaintyModel, {}),
    *((BackTAL, variant) for variant in ({}, {"layout": "paper"}, {"kernel_size": 5}, {"kernel_size": 9},
                                         {"affinity": False}, {"affinity": False, "kernel_size": 5})),
]
IDS = [f"{model.__name__}-{'-'.join(map(str, variant.values()))}" for model, variant in VARIANTS]


def build(model, variant=None, **changes):
    torch.manual_seed(0)
    return model(**WIDTHS[model] | (variant or {}) | changes).double()


def without_dropout(model, variant=None):
    more = {"selection_dropout": 0.0} if model is UncertaintyModel else {}
    return build(model, variant, dropout=0.0, **more)


def features(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def tensors(output: CASOutput) -> dict[str, torch.Tensor]:
    values = {field.name: getattr(output, field.name) for field in fields(output)}
    return {name: value for name, value in values.items() if value is not None}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("model", "variant"), VARIANTS, ids=IDS)
def test_padded_video_equals_the_video_alone(model, variant, training):
    network = without_dropout(model, variant).train(training)
    x, lengths = features(4, 24, 6), torch.tensor([24, 17, 8, 1])
    batched = tensors(network(x, lengths))
    for video, length in enumerate(lengths.tolist()):
        x[video, length:] = float("nan")  # whatever lies in the padding
        alone = tensors(network(x[video : video + 1, :length]))
        assert alone.keys() == batched.keys()
        for name, value in alone.items():
            row = batched[name][video]
            inside = row if name.endswith("video_logits") else row[:length]
            torch.testing.assert_close(inside, value[0], **tolerances.EXACT_FORMULA)
            assert name.endswith("video_logits") or not row[length:].any(), name
    for name, value in tensors(network(x, lengths)).items():
        assert torch.equal(value, batched[name]), name


@pytest.mark.parametrize(("model", "variant"), VARIANTS, ids=IDS)
def test_two_shares_draw_the_dropout_of_one_batch(model, variant):
    network, x, lengths = build(model, variant).train(), features(5, 12, 6), torch.tensor([12, 12, 9, 12, 4])
    torch.manual_seed(3)
    whole = tensors(network(x, lengths))
    parts = []
    for start, stop in ((0, 2), (2, 5)):
        for module in network.modules():
            if isinstance(module, ShardedDropout):
                module.shard = (start, 5)
        torch.manual_seed(3)
        parts.append(tensors(network(x[start:stop], lengths[start:stop])))
    for name, value in whole.items():
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), value, **tolerances.EXACT_FORMULA)


@pytest.mark.parametrize("model", [BaSNet, BackTAL])
def test_branches_have_masks_of_their_own_and_the_base_draws_first(model):
    network, x = build(model).train(), features(2, 12, 6)
    for parameter in network.filter_module.conv_2[0].parameters():
        parameter.data.fill_(100.0)  # foreground 1: both branches see the same features
    torch.manual_seed(3)
    output = network(x)
    torch.testing.assert_close(output.foreground, torch.ones_like(output.foreground))
    assert (output.base_cas_logits - output.cas_logits).abs().max() > 1e-3
    torch.manual_seed(3)
    if model is BaSNet:
        base = network.cas_module(x, None)
    else:
        affinity = ops.local_affinity(network.embedding_module(x, None))
        base = network.classifier_module(network.base_module(x, affinity, None)[1], None)
    torch.testing.assert_close(base, output.base_cas_logits, **tolerances.EXACT_FORMULA)


def test_dropout_keeps_the_mean():
    dropout = ShardedDropout(0.7).train()
    torch.manual_seed(0)
    out = dropout(torch.ones(64, 100, 10))
    values = out.unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / 0.3]))
    assert abs((out > 0).double().mean().item() - 0.3) < 4 * (0.3 * 0.7 / out.numel()) ** 0.5


def test_dropout_off():
    x = torch.ones(2, 3)
    assert ShardedDropout(0.7).eval()(x) is x
    assert ShardedDropout(0.0).train()(x) is x
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\), got 1"):
        ShardedDropout(1.0)


def test_selection_mask_exists_in_training_only():
    network, x = build(UncertaintyModel), features(2, 50, 6)
    mask = network.train()(x).selection_mask
    assert mask.shape == (2, 50) and set(mask.unique().tolist()) == {0.0, 1 / (1 - 0.7)}
    assert network.eval()(x).selection_mask is None
    assert build(UncertaintyModel, selection_dropout=0.0).train()(x).selection_mask is None


@pytest.mark.parametrize(("branches", "columns", "both", "filtered"), [
    ("both", 4, True, True), ("suppression", 4, False, True), ("base_background", 4, False, False),
    ("base", 3, False, False)])
def test_branches_of_basnet(branches, columns, both, filtered):
    network = build(BaSNet, branches=branches)
    output = network.train()(features(2, 12, 6))
    assert output.cas_logits.shape == (2, 12, columns) and output.video_logits.shape == (2, columns)
    assert (output.base_cas_logits is not None) is both
    assert (output.foreground is not None) is filtered
    assert network.has_background is (columns == 4)
    assert network.eval()(features(2, 12, 6)).base_cas_logits is None


def test_backtal_without_affinity_has_no_embedding():
    network = build(BackTAL, affinity=False)
    assert not any(name.startswith("embedding_module") for name, _ in network.named_parameters())
    assert network.train()(features(2, 12, 6)).embedding is None


def test_layouts_differ_and_share_parameters():
    official, paper = build(BackTAL), build(BackTAL, layout="paper")
    paper.load_state_dict(official.state_dict())
    x = features(2, 12, 6)
    assert not torch.allclose(official.eval()(x).cas_logits, paper.eval()(x).cas_logits)


@pytest.mark.parametrize("model", WIDTHS)
@pytest.mark.parametrize("change", [{}, {"feature_dim": 9}, {"hidden_dim": 11}, {"num_classes": 8}, {"filter_dim": 13},
                                    {"embedding_hidden_dim": 14}, {"embedding_dim": 15}, {"kernel_size": 7}])
def test_widths_are_read_off_the_shapes(model, change):
    if not change.keys() <= WIDTHS[model].keys():
        change = {}
    network = build(model, change)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert model.widths_of(shapes) == WIDTHS[model] | change
    shapes["more.weight"] = (1, 1)
    assert model.widths_of(shapes) is None


@pytest.mark.parametrize("model", WIDTHS)
@pytest.mark.parametrize("width", ["feature_dim", "hidden_dim", "num_classes", "filter_dim", "embedding_hidden_dim",
                                   "embedding_dim"])
def test_a_width_changes_only_its_own_axes(model, width):
    if width not in WIDTHS[model]:
        width = "hidden_dim"
    wider = WIDTHS[model][width] + 20
    before, after = build(model).state_dict(), build(model, {width: wider}).state_dict()
    background = width == "num_classes" and model is not UncertaintyModel
    for name, tensor in before.items():
        old, new = WIDTHS[model][width] + background, wider + background
        for was, now in zip(tensor.shape, after[name].shape, strict=True):
            assert now == was or (was, now) == (old, new), name


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize(("model", "variant"), VARIANTS, ids=IDS)
def test_short_videos(model, variant, steps):
    output = build(model, variant).train()(features(2, steps, 6), torch.tensor([steps, 1]))
    assert all(value.isfinite().all() for value in tensors(output).values())


@pytest.mark.parametrize(("length", "share", "count"), [
    (750, 0.125, 93), (100, 0.6, 60), (200, 0.6, 120), (100, 0.2, 20), (7, 0.125, 1), (8, 0.125, 1), (16, 0.125, 2)])
def test_share_of_a_video(length, share, count):
    assert pooled_snippets(None, length, share) == count
    assert pooled_snippets(torch.tensor([length, 1]), 750, share).tolist() == [count, 1]


@pytest.mark.parametrize(("length", "divisor", "count"), [
    (750, 8, 93), (750, 9, 83), (50, 9, 5), (8, 9, 1), (18, 9, 2)])
def test_divided_video(length, divisor, count):
    assert divided_snippets(None, length, divisor) == count
    assert divided_snippets(torch.tensor([length, 1]), 750, divisor).tolist() == [count, 1]


@pytest.mark.parametrize("model", WIDTHS)
def test_wrong_inputs(model):
    network = build(model)
    with pytest.raises(ValueError, match=r"features must be \[B, T >= 1, D = 6\], got \[2, 12, 5\]"):
        network(features(2, 12, 5))
    with pytest.raises(ValueError, match=r"got \[2, 0, 6\]"):
        network(features(2, 0, 6))
    with pytest.raises(ValueError, match=r"lengths must be int64 \[B\] = \[2\], got torch.int32 \[2\]"):
        network(features(2, 12, 6), torch.tensor([12, 12], dtype=torch.int32))


@pytest.mark.parametrize(("model", "variant"), VARIANTS, ids=IDS)
def test_compiles_as_one_graph(model, variant):
    torch._dynamo.reset()
    network, x, lengths = without_dropout(model, variant).train(), features(3, 12, 6), torch.tensor([12, 9, 4])
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    gradients = []
    for function in (network, compiled):
        network.zero_grad()
        output = function(x, lengths)
        sum(value.sum() for value in tensors(output).values()).backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    for value, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(value, wanted, **tolerances.FLOAT64_GRADIENT)


@pytest.mark.parametrize("model", [BaSNet, BackTAL])
def test_both_branches_equal_one_after_the_other(model):
    """The shared products change no output and no gradient: float64, padded videos, dropout on."""
    network, x, lengths = build(model).train(), features(3, 12, 6), torch.tensor([12, 9, 4])
    padding = torch.arange(12) >= lengths[:, None]
    gradients = []
    for shared in (True, False):
        network.zero_grad()
        torch.manual_seed(5)
        if shared:
            output = network(x, lengths)
            outputs = output.base_cas_logits, output.cas_logits
        else:
            masked = x.masked_fill(padding[..., None], 0)
            foreground = network.filter_module(masked).masked_fill(padding, 0)
            branches = masked, masked * foreground[..., None]
            if model is BaSNet:
                outputs = [network.cas_module(branch, padding) for branch in branches]
            else:
                affinity = ops.local_affinity(network.embedding_module(masked, padding))
                outputs = [network.classifier_module(network.base_module(branch, affinity, padding)[1], padding)
                           for branch in branches]
        sum((value * weight).sum() for value, weight in zip(outputs, (1.0, 0.3), strict=True)).backward()
        gradients.append([*outputs, *(parameter.grad.clone() for parameter in network.parameters())])
    for value, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(value, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("model", "variant"), VARIANTS, ids=IDS)
def test_autocast_keeps_what_is_ranked_or_compared_in_float32(model, variant, training):
    """Only hidden features are bfloat16: scores, foreground, embedding and magnitude would tie in it."""
    network = build(model, variant).float().train(training)
    with torch.autocast("cpu", torch.bfloat16):
        found = tensors(network(features(2, 12, 6).float()))
    assert {name: value.dtype for name, value in found.items()} == {
        name: torch.bfloat16 if name == "features" else torch.float32 for name in found}
