"""Loss of BaS-Net and of the branches of its Table 2."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from wtal_fast.losses.mil import (
    ClassLoss,
    batch_totals,
    check_choice,
    class_loss,
    required_labels,
    single_precision,
    weighted_total,
    with_background,
)
from wtal_fast.structures import CASOutput, FeatureBatch


@dataclass(frozen=True)
class BaSNetLoss:
    """Terms `base`, `supp` and `norm` (BaS-Net paper Eq. 4, 7, 8), as far as the output has the branch.

    class_loss, normalize_labels: "bce" with labels divided by their sum is the released code, "ce" with labels as they
    are is the paper. base_weight, supp_weight, norm_weight: alpha, beta, gamma; both sources agree on the defaults.
    """

    class_loss: ClassLoss = "bce"
    normalize_labels: bool = True
    base_weight: float = 1.0
    supp_weight: float = 1.0
    norm_weight: float = 1e-4

    def __post_init__(self):
        check_choice("BaSNetLoss", "class_loss", self.class_loss, ("bce", "ce"))

    def __call__(self, output: CASOutput, batch: FeatureBatch) -> dict[str, Tensor]:
        """{"base", "supp", "norm" unweighted, "total" weighted}, scalars; only `base` without a suppressed branch."""
        labels, videos = required_labels(batch), batch_totals(batch).videos
        present, absent = with_background(labels, True), with_background(labels, False)
        if output.foreground is None:
            targets = present if output.video_logits.shape[1] > labels.shape[1] else labels
            terms = {"base": self._classify(output.video_logits, targets, videos)}
        else:
            terms = {"supp": self._classify(output.video_logits, absent, videos),
                     "norm": single_precision(output.foreground).sum() / videos}
            if output.base_video_logits is not None:
                terms = {"base": self._classify(output.base_video_logits, present, videos), **terms}
        return weighted_total(
            terms, {"base": self.base_weight, "supp": self.supp_weight, "norm": self.norm_weight})

    def _classify(self, logits: Tensor, targets: Tensor, videos: int) -> Tensor:
        return class_loss(logits, targets, videos, self.class_loss, self.normalize_labels)


LOSS = BaSNetLoss
