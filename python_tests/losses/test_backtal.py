"""Loss of BackTAL restated with loops over videos, classes and pairs; forms by hand; clicks of every kind."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from python_tests import tolerances
from wtal_fast.losses.backtal import BackTALLoss
from wtal_fast.structures import NO_CLICK, CASOutput, FeatureBatch

CLASSES = 3
LENGTHS = [16, 16, 9, 16]
LOGITS = {"base_cas_logits": (4, 16, 4), "cas_logits": (4, 16, 4), "base_video_logits": (4, 4),
                "video_logits": (4, 4)}


def example(actions=False):
    """Output leaves and a batch: two classes, many clicks on top-scored snippets, a short video, one without clicks."""
    draw = torch.Generator().manual_seed(0)
    leaves = {name: torch.randn(shape, dtype=torch.float64, generator=draw) for name, shape in LOGITS.items()}
    leaves["foreground"] = torch.rand(4, 16, dtype=torch.float64, generator=draw)
    leaves["embedding"] = torch.randn(4, 16, 3, dtype=torch.float64, generator=draw)
    clicks = torch.full((4, 16), NO_CLICK)
    clicks[0, [1, 4, 7, 8, 12]] = CLASSES
    clicks[1, 3] = CLASSES
    clicks[2, [0, 8]] = CLASSES
    if actions:
        clicks[0, 2], clicks[1, [5, 6]], clicks[3, 9] = 0, 1, 2
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]], dtype=torch.float64)
    lengths = torch.tensor(LENGTHS)
    padding = torch.arange(16) >= lengths[:, None]
    for value in leaves.values():
        if value.shape[:2] == (4, 16):
            value[padding] = 0
        value.requires_grad_()
    # Unit vectors of a leaf: the cosine of a snippet with itself then has no gradient, whichever of several is hardest.
    output = CASOutput(**leaves | {"embedding": F.normalize(leaves["embedding"], dim=2)})
    return output, FeatureBatch(torch.zeros(4, 16, 2), lengths, labels, clicks), list(leaves.values())


def top(values: torch.Tensor, k: int) -> list[int]:
    return sorted(range(len(values)), key=lambda t: (-values[t].item(), t))[:k]


def background_of(loss, output, batch) -> list[list[int]]:
    clicked = [[t for t in range(length) if batch.clicks[n, t] == CLASSES] for n, length in enumerate(LENGTHS)]
    return [sorted({*clicked[n], *mined}) for n, mined in enumerate(mined_of(loss, output, batch))]


def mined_of(loss, output, batch) -> list[list[int]]:
    if not loss.mined_background:
        return [[] for _ in LENGTHS]
    counts = [int((batch.clicks[n, :length] != NO_CLICK).sum()) for n, length in enumerate(LENGTHS)]
    wanted = sum(min(math.floor(loss.mined_background * count), length - count)
                 for count, length in zip(counts, LENGTHS, strict=True))
    free = [(n, t) for n, length in enumerate(LENGTHS) for t in range(length) if batch.clicks[n, t] == NO_CLICK]
    free.sort(key=lambda place: (-output.base_cas_logits[place][-1].item(), place))
    return [[t for video, t in free[:wanted] if video == n] for n in range(len(LENGTHS))]


def by_loops(loss: BackTALLoss, output: CASOutput, batch: FeatureBatch) -> dict[str, torch.Tensor]:
    base, embedding, videos = output.base_cas_logits, output.embedding, len(LENGTHS)
    background, mined = background_of(loss, output, batch), mined_of(loss, output, batch)
    terms = {"norm": sum(output.foreground[n, :length].abs().sum() for n, length in enumerate(LENGTHS)) / videos}
    for name, logits, extra in (("base", output.base_video_logits, 1.0), ("supp", output.video_logits, 0.0)):
        target = torch.cat([batch.labels, torch.full((videos, 1), extra)], 1)
        if loss.normalize_labels:
            target = target / target.sum(1, keepdim=True)
        terms[name] = -(target * logits.log_softmax(1)).sum() / videos
    if loss.mined_background:
        rows = [base[n, t].log_softmax(0)[-1] for n, chosen in enumerate(mined) for t in chosen]
        terms["mined"] = -sum(rows) / len(rows) / CLASSES
    frames = [[-base[n, t].log_softmax(0)[batch.clicks[n, t]] for t in range(length) if batch.clicks[n, t] != NO_CLICK]
              for n, length in enumerate(LENGTHS)]
    if loss.frame_mean == "positions":
        terms["frame"] = sum(map(sum, frames)) / sum(map(len, frames))
    else:
        terms["frame"] = sum(sum(rows) / len(rows) for rows in frames if rows) / videos
    asked = [n for n in range(videos) if background[n]]
    separation, affinity = [], []
    for n in asked:
        length = LENGTHS[n]
        present = [c for c in range(CLASSES) if batch.labels[n, c]]
        k = max(1, int(length * (loss.separation_ratio or 0)))
        losses, members = [], []
        for c in present:
            p_act = output.base_video_logits[n, c]
            if loss.separation_ratio is not None:
                p_act = base[n, top(base[n, :length, c], k), c].mean()
            p_bg = base[n, background[n], c].mean()
            pair = torch.stack([p_act, p_bg]).softmax(0)
            losses.append(-pair[0].log() if loss.separation == "single" else -pair[0].log() - (1 - pair[1]).log())
            members += top(output.cas_logits[n, :length, c], max(1, int(length * loss.pool_ratio)))
        separation.append(sum(losses) / len(losses))
        f, g = embedding[n, members], embedding[n, background[n]]
        ff, gg, fg = f @ f.T, g @ g.T, f @ g.T
        if loss.affinity == "hardest_pairs":
            affinity.append((loss.tau_same - gg.min()).relu() + (loss.tau_same - ff.min()).relu()
                            + (fg.max() - loss.tau_diff).relu())
        else:
            affinity.append((loss.tau_same - ff.min(1).values).relu().mean()
                            + (loss.tau_same - gg.min(1).values).relu().mean()
                            + (fg.max(1).values - loss.tau_diff).relu().mean()
                            + (fg.max(0).values - loss.tau_diff).relu().mean())
    terms["separation"], terms["affinity"] = sum(separation) / len(asked), sum(affinity) / len(asked)
    if loss.weight_supervision:
        rows = [F.binary_cross_entropy(output.foreground[n, t], (batch.clicks[n, t] != CLASSES).double())
                for n, length in enumerate(LENGTHS) for t in range(length) if batch.clicks[n, t] != NO_CLICK]
        terms["weight"] = sum(rows) / len(rows)
    weights = {"base": 1, "supp": 1, "norm": loss.norm_weight, "frame": loss.frame_weight,
               "mined": loss.frame_weight, "separation": loss.separation_weight, "affinity": loss.affinity_weight,
               "weight": loss.weight_supervision}
    terms["total"] = sum(weights[name] * value for name, value in terms.items())
    return terms


SETTINGS = {
    "official": BackTALLoss(),
    "official_anet": BackTALLoss(separation_ratio=0.2, separation_weight=0.1, pool_ratio=0.6),
    "paper": BackTALLoss(normalize_labels=False, frame_mean="videos", separation="double", affinity="hardest_pairs"),
    "taus": BackTALLoss(tau_same=0.7, tau_diff=0.0, affinity_weight=1.0, separation_weight=1.2, norm_weight=0.1),
    "weight": BackTALLoss(weight_supervision=0.5),
    "mined": BackTALLoss(mined_background=1.7),
    "mined_sf_net": BackTALLoss(mined_background=7.0, affinity="hardest_pairs", separation="double"),
}


@pytest.mark.parametrize("actions", [False, True])
@pytest.mark.parametrize("loss", SETTINGS.values(), ids=SETTINGS)
def test_terms_and_gradients(loss, actions):
    output, batch, leaves = example(actions)
    expected, terms = by_loops(loss, output, batch), loss(output, batch)
    inside = torch.arange(16) < batch.lengths[:, None]
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-9), name
        ours = torch.autograd.grad(terms[name], leaves, retain_graph=True, materialize_grads=True)
        theirs = torch.autograd.grad(value, leaves, retain_graph=True, materialize_grads=True)
        for leaf, one, other in zip(leaves, ours, theirs, strict=True):
            if leaf.shape[:2] == inside.shape:  # the network cuts the gradient of its padding
                one, other = one[inside], other[inside]
            torch.testing.assert_close(one, other, **tolerances.FLOAT64_GRADIENT)


def test_double_separation_is_twice_the_single():
    output, batch, _ = example()
    single, double = BackTALLoss()(output, batch), BackTALLoss(separation="double")(output, batch)
    assert double["separation"].item() == pytest.approx(2 * single["separation"].item())


def test_paper_pairs_by_hand():
    """Background at angles 0 and 90 degrees, action at 0 and 180: cosines 0; -1; 1."""
    embedding = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]]])
    cas = torch.tensor([[[0.0, 0], [1, 0], [3, 0], [2, 0]]])
    clicks = torch.tensor([[1, 1, NO_CLICK, NO_CLICK]])
    output = CASOutput(cas, torch.zeros(1, 2), cas, torch.zeros(1, 2), torch.ones(1, 4), embedding)
    batch = FeatureBatch(torch.zeros(1, 4, 2), torch.tensor([4]), torch.ones(1, 1), clicks)
    terms = BackTALLoss(affinity="hardest_pairs", pool_ratio=0.5)(output, batch)
    assert terms["affinity"].item() == pytest.approx((0.5 - 0) + (0.5 + 1) + (1 - 0.1))
    official = BackTALLoss(pool_ratio=0.5)(output, batch)
    # ff: both miss by 1.5; gg: both by 0.5; each action's nearest background: 1, 0; each background's: 1, 0
    assert official["affinity"].item() == pytest.approx(1.5 + 0.5 + 0.9 / 2 + 0.9 / 2)
    # p_act is the video score 0, p_bg the mean 0.5 of the clicked scores 0 and 1
    assert official["separation"].item() == pytest.approx(math.log(1 + math.exp(0.5)))
    assert official["frame"].item() == pytest.approx((math.log(2) + math.log(1 + math.e)) / 2)


def test_one_click_costs_nothing_among_backgrounds():
    output, batch, _ = example()
    clicks = torch.full_like(batch.clicks, NO_CLICK)
    clicks[1, 3] = CLASSES
    same = CASOutput(**{**vars(output), "embedding": torch.ones_like(output.embedding) / 3**0.5})
    terms = BackTALLoss(tau_diff=1.0)(same, replace(batch, clicks=clicks))
    assert terms["affinity"].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("clicks", [None, "none"])
def test_no_click_in_the_batch(loss, clicks):
    output, batch, leaves = example()
    batch = replace(batch, clicks=None if clicks is None else torch.full_like(batch.clicks, NO_CLICK))
    terms = loss(output, batch)
    for name in terms.keys() - {"base", "supp", "norm", "total"}:
        assert terms[name].item() == 0, name
        gradients = torch.autograd.grad(terms[name], leaves, retain_graph=True, materialize_grads=True)
        assert not any(gradient.any() for gradient in gradients), name
    assert terms["total"].item() == pytest.approx(
        (terms["base"] + terms["supp"] + loss.norm_weight * terms["norm"]).item())


def test_action_clicks_alone_enter_the_frame_loss_only():
    output, batch, _ = example(actions=True)
    batch = replace(batch, clicks=batch.clicks.masked_fill(batch.clicks == CLASSES, NO_CLICK))
    terms = BackTALLoss()(output, batch)
    assert terms["frame"].item() > 0 and terms["separation"].item() == 0 and terms["affinity"].item() == 0


def test_video_without_labels_is_finite():
    for loss in SETTINGS.values():
        output, batch, leaves = example()
        total = loss(output, replace(batch, labels=torch.zeros_like(batch.labels)))["total"]
        assert all(gradient.isfinite().all()
                   for gradient in torch.autograd.grad(total, leaves, materialize_grads=True))


def test_terms_with_weight_0_are_left_out():
    output, batch, _ = example()
    baseline = BackTALLoss(frame_weight=0, separation_weight=0, affinity_weight=0)
    assert baseline(output, batch).keys() == {"base", "supp", "norm", "total"}
    no_embedding = CASOutput(**{**vars(output), "embedding": None})
    assert baseline(no_embedding, batch).keys() == {"base", "supp", "norm", "total"}
    with pytest.raises(ValueError, match="affinity_weight must be 0 for a model without embedding, got 0.8"):
        BackTALLoss()(no_embedding, batch)


def test_wrong_uses():
    output, batch, _ = example()
    with pytest.raises(ValueError, match="the model in train mode"):
        BackTALLoss()(CASOutput(**{**vars(output), "base_cas_logits": None}), batch)
    for name in ("class_loss", "frame_mean", "separation", "affinity"):
        with pytest.raises(ValueError, match=f"{name} must be one of .*, got 'x'"):
            BackTALLoss(**{name: "x"})
