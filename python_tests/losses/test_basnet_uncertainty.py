"""Losses of BaS-Net and UM: each form restated with loops over videos, every branch, what is left out."""

import math

import pytest
import torch
import torch.nn.functional as F

from python_tests import tolerances
from wtal_fast import ops
from wtal_fast.losses.basnet import BaSNetLoss
from wtal_fast.losses.uncertainty import UncertaintyLoss
from wtal_fast.structures import CASOutput, FeatureBatch

CLASSES = 4
LENGTHS = [18, 9, 4, 1]


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def labelled():
    labels = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 0, 1]], dtype=torch.float64)
    return FeatureBatch(torch.zeros(4, 18, 2), torch.tensor(LENGTHS), labels)


def basnet_output(branches="both"):
    columns = CLASSES + (branches != "base")
    cas, video, base_video = draw(4, 18, columns), draw(4, columns, seed=1), draw(4, columns, seed=2)
    if branches in ("base", "base_background"):
        return CASOutput(cas, base_video)
    return CASOutput(cas, video, base_video_logits=base_video if branches == "both" else None,
                     foreground=draw(4, 18, seed=3).sigmoid())


@pytest.mark.parametrize("form", ["bce", "ce"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("branches", ["both", "suppression", "base_background", "base"])
def test_basnet(branches, normalize, form):
    output, batch = basnet_output(branches), labelled()
    terms = BaSNetLoss(form, normalize, 0.5, 2.0, 0.25)(output, batch)

    def classified(logits, background):
        extra = torch.full((4, logits.shape[1] - CLASSES), background, dtype=torch.float64)
        target = torch.cat([batch.labels, extra], 1)
        if normalize:
            target = target / target.sum(1, keepdim=True)
        if form == "bce":
            return F.binary_cross_entropy(logits.softmax(1), target)
        return sum(-(target[n] * logits[n].log_softmax(0)).sum() for n in range(4)) / 4

    expected = {}
    if branches != "suppression":
        base = output.base_video_logits if branches == "both" else output.video_logits
        expected["base"] = classified(base, 1.0)
    if branches in ("both", "suppression"):
        expected["supp"] = classified(output.video_logits, 0.0)
        expected["norm"] = output.foreground.abs().sum(1).mean()
    weights = {"base": 0.5, "supp": 2.0, "norm": 0.25}
    expected["total"] = sum(weights[name] * value for name, value in expected.items())
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-9)


def uncertainty_output(masked):
    inside = torch.arange(18) < torch.tensor(LENGTHS)[:, None]
    features = (20 * draw(4, 18, 6).relu() * inside[:, :, None]).requires_grad_()
    cas = (draw(4, 18, CLASSES, seed=1) * inside[:, :, None]).requires_grad_()
    mask = (draw(4, 18, seed=2) > -0.8).double() / 0.7 if masked else None
    return CASOutput(cas, draw(4, CLASSES, seed=3).requires_grad_(), features=features, magnitude=features.norm(dim=2),
                     selection_mask=mask)


def uncertainty_by_loops(loss: UncertaintyLoss, output: CASOutput, batch: FeatureBatch) -> dict[str, torch.Tensor]:
    terms = {"cls": 0.0, "um": 0.0, "be": 0.0}
    for n, length in enumerate(LENGTHS):
        magnitude = output.magnitude[n, :length].detach()
        mask = torch.ones(length) if output.selection_mask is None else output.selection_mask[n, :length]
        keys = (magnitude * mask).tolist(), ((magnitude.max() - magnitude) * mask).tolist()
        counts = max(1, length // loss.action_divisor), max(1, length // loss.background_divisor)
        action, background = (sorted(range(length), key=lambda t: (-key[t], t))[:count]  # noqa: B023
                              for key, count in zip(keys, counts, strict=True))
        target = batch.labels[n] / (batch.labels[n].sum() if loss.normalize_labels else 1)
        p = output.video_logits[n].softmax(0)
        if loss.class_loss == "ce":
            terms["cls"] -= (target * p.log()).sum() / 4
        else:
            terms["cls"] -= (target * p.log() + (1 - target) * (1 - p).log()).mean() / 4
        missing = max(loss.magnitude - output.features[n, action].mean(0).norm(), torch.zeros(()))
        terms["um"] += (missing + output.features[n, background].mean(0).norm()) ** 2 / 4
        if loss.background_entropy == "mean_softmax_ce":
            terms["be"] -= output.cas_logits[n, background].softmax(1).mean(0).log().mean() / 4
        else:
            p = output.cas_logits[n, background].mean(0).softmax(0)
            terms["be"] -= (p.log() / CLASSES + (1 - 1 / CLASSES) * (1 - p).log()).mean() / 4
    terms["total"] = terms["cls"] + loss.um_weight * terms["um"] + loss.be_weight * terms["be"]
    return terms


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loss", [
    UncertaintyLoss(),
    UncertaintyLoss("ce", True, "mean_softmax_ce"),
    UncertaintyLoss("ce", False, magnitude=20.0, action_divisor=3, background_divisor=2, um_weight=0.1, be_weight=0.7),
], ids=["official", "paper", "other"])
def test_uncertainty(loss, masked):
    output, batch = uncertainty_output(masked), labelled()
    expected, terms = uncertainty_by_loops(loss, output, batch), loss(output, batch)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-9), name
    leaves = (output.video_logits, output.features, output.cas_logits)
    for ours, theirs in zip(torch.autograd.grad(terms["total"], leaves), torch.autograd.grad(expected["total"], leaves),
                            strict=True):
        torch.testing.assert_close(ours, theirs, **tolerances.FLOAT64_GRADIENT)


def test_uncertainty_by_hand():
    """T = 4, k_act = 1, k_bkg = 2: snippet 2 is action; 0 and 3 are background, their mean feature is (1, 1)."""
    features = torch.tensor([[[2.0, 0.0], [3.0, 3.0], [6.0, 8.0], [0.0, 2.0]]], dtype=torch.float64)
    cas = torch.tensor([[[0.0, math.log(3)], [5.0, 0], [9.0, 0], [math.log(3), 0.0]]], dtype=torch.float64)
    batch = FeatureBatch(features, torch.tensor([4]), torch.tensor([[1.0, 0.0]]))
    output = CASOutput(cas, torch.zeros(1, 2, dtype=torch.float64), features=features, magnitude=features.norm(dim=2))
    terms = UncertaintyLoss(magnitude=11.0, action_divisor=4, background_divisor=2)(output, batch)
    assert terms["um"].item() == pytest.approx((1 + 2**0.5) ** 2)
    assert terms["cls"].item() == pytest.approx(math.log(2))
    assert terms["be"].item() == pytest.approx(math.log(2))  # mean logits are equal: p = 1/2 = 1/C
    paper = UncertaintyLoss("ce", background_entropy="mean_softmax_ce", background_divisor=4)(output, batch)
    assert paper["be"].item() == pytest.approx(-(math.log(0.25) + math.log(0.75)) / 2)  # snippet 0 alone


def test_hinge_and_norms_at_zero_have_no_gradient():
    features = torch.zeros(1, 8, 3, requires_grad=True)
    batch = FeatureBatch(features, torch.tensor([8]), torch.tensor([[1.0, 0.0]]))
    output = CASOutput(torch.zeros(1, 8, 2), torch.zeros(1, 2), features=features, magnitude=features.norm(dim=2))
    UncertaintyLoss()(output, batch)["um"].backward()
    assert not features.grad.any()


def test_terms_with_weight_0_are_left_out():
    terms = UncertaintyLoss(um_weight=0.0, be_weight=0.0)(uncertainty_output(False), labelled())
    assert terms.keys() == {"cls", "total"} and torch.equal(terms["cls"], terms["total"])
    assert UncertaintyLoss(be_weight=0.0)(uncertainty_output(False), labelled()).keys() == {"cls", "um", "total"}


def test_dropped_snippets_are_selected_last():
    """Of four snippets one is dropped: three are wanted and the dropped one, though largest, is not among them."""
    features = torch.tensor([[[9.0], [1.0], [2.0], [3.0]]])
    output = CASOutput(torch.zeros(1, 4, 2), torch.zeros(1, 2), features=features, magnitude=features.norm(dim=2),
                       selection_mask=torch.tensor([[0.0, 2.0, 2.0, 2.0]]))
    batch = FeatureBatch(features, torch.tensor([4]), torch.tensor([[1.0, 0.0]]))
    terms = UncertaintyLoss(magnitude=10.0, action_divisor=4, background_divisor=4)(output, batch)
    assert terms["um"].item() == pytest.approx((10 - 3 + 1) ** 2)
    assert ops.topk_mask(features, 1)[0, :, 0].tolist() == [True, False, False, False]


@pytest.mark.parametrize("loss", [BaSNetLoss, UncertaintyLoss])
def test_wrong_choice(loss):
    with pytest.raises(ValueError, match="class_loss must be one of .*, got 'mse'"):
        loss(class_loss="mse")


def test_labels_are_needed():
    batch = labelled()
    with pytest.raises(ValueError, match=r"batch.labels must be \[B, C\] multi-hot, got None"):
        BaSNetLoss()(basnet_output(), FeatureBatch(batch.features, batch.lengths))
