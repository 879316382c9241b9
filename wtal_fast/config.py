"""Settings of a run: one typed section for each stage, every value with its rule."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    model_validator,
)

from wtal_fast.errors import InputError
from wtal_fast.ranges import expand_range


def _split_names(value):
    if not isinstance(value, str):
        return value
    return [name.strip() for name in value.strip().removeprefix("[").removesuffix("]").split(",")]


def _on_off(value):
    """YAML reads the words on and off as true and false."""
    return ("on" if value else "off") if isinstance(value, bool) else value


def _check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names or not all(names):
        raise ValueError("class names that are not empty")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"each class name once, got {', '.join(twice)} more than once")
    return names


Thresholds = Annotated[tuple[FiniteFloat, ...], BeforeValidator(expand_range)]
Overlap = Annotated[float, Field(gt=0, le=1)]
Overlaps = Annotated[tuple[Overlap, ...], Field(min_length=1), BeforeValidator(expand_range)]
VideoIds = Annotated[tuple[str, ...], BeforeValidator(_split_names)]
ClassNames = Annotated[tuple[str, ...], BeforeValidator(_split_names), AfterValidator(_check_names)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_off)]


class Section(BaseModel):
    """Settings that refuse unknown keys and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    """Which snippets of a video the network sees, and how an index becomes a second."""

    num_snippets: int = Field(750, ge=1)  # T
    train_sampling: Literal["stratified", "uniform", "linear"] = "stratified"
    test_sampling: Literal["uniform", "uniform_keep_short", "linear"] = "uniform"
    resize: Literal["half_pixel", "align_corners"] = "half_pixel"  # of the linear sampling
    snippet_stride: float = Field(16, gt=0)  # frames between snippets
    fps: float = Field(25, gt=0)  # frame rate at feature extraction
    video_fps: str | None = None  # the same for each video: "ground_truth", or a JSON file {id: rate}; others have fps
    snippet_window: float | None = Field(None, gt=0)  # frames a snippet sees; None: snippet_stride, or as good as that
    time_base: Literal["features", "duration"] = "features"  # length of a video: L*stride/fps, or the annotated one
    train_subset: str = "train"
    test_subset: str = "test"
    modality: Literal["all", "rgb", "flow"] = "all"
    resident: Literal["auto", "memory", "mapped"] = Field("auto", description="in memory where the set takes at most "
                                                          "half of what is free, else read from disk as needed")
    class_names: ClassNames | None = None  # class order; None: the ground truth's
    ground_truth: str | None = None  # a ground truth file; None: the one that lies beside the features
    durations: str | None = None  # a ground truth file with durations
    exclude: VideoIds = ()  # ids of videos that are left out
    missing: Literal["error", "drop"] = "error"  # what becomes of annotated videos without features
    clicks: str | None = None  # a click file, several split by commas, "simulated", or "stored" with the features
    click_kinds: Literal["none", "background", "action", "both"] = "none"  # which clicks reach the loss
    click_noise: float = Field(0.0, ge=0)  # standard deviation in seconds of simulated clicks' times
    click_miss: float = Field(0.0, ge=0, lt=1)  # share of intervals without a simulated click
    click_fps: float | None = Field(None, gt=0)  # frames a second of click files that count frames
    holdout: float = Field(0.2, gt=0, lt=1)  # share of the training videos kept for best_on_holdout


class TrainConfig(Section):
    """How long, with which optimizer and from which seed a model is trained, and which checkpoint is kept."""

    iterations: int | None = Field(None, ge=1)  # optimizer steps
    epochs: int | None = Field(None, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(5e-4, ge=0)  # L2 in the gradient (Adam, not AdamW)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: float = 1e-8
    sampler: Literal["epochs", "epoch_then_random"] = "epochs"
    seed: int = 0
    eval_every: int | None = Field(None, ge=1)  # optimizer steps; None: at the end only
    selection: Literal["last", "best_on_holdout", "best_on_test"] = "last"
    selection_metric: Literal["average"] | float = "average"  # the average mAP, or the mAP at one of evaluation.tiou
    accumulate: int = Field(1, ge=1, description="a batch at once; k parts need about a k-th of the memory "
                            "and give the same result but for rounding")
    ema_decay: Decay | None = Field(None, description="the released codes keep no average of the weights")
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    cuda_graph: Switch = Field("auto", description="on a CUDA device each step is one recorded graph, unless parts or "
                               "processes forbid it; the result is equal")
    save_every: int = Field(100, ge=1)  # optimizer steps


class LocalizationConfig(Section):
    """CASOutput -> Detections. The defaults are those of the BaS-Net paper."""

    class_threshold: float = Field(0.25, ge=0)  # keep classes with score >= this
    class_fallback: Literal["none", "argmax"] = "none"  # what to do where no class is kept
    skip_index0_only: bool = False  # drop a video whose only kept class is class 0 (official BaS-Net)
    cas: Literal["logits", "softmax"] = "logits"  # softmax over the C action classes of the CAS
    gate: Literal["none", "mean_act_bkg", "bounded", "minmax"] = "none"  # foreground probability multiplied to the CAS
    gate_bound: float = Field(100.0, gt=0)  # m of "bounded": min(m, magnitude) / m
    gate_action_divisor: int = Field(9, ge=1)  # k of the mean of the largest magnitudes is T // this
    gate_background_divisor: int = Field(4, ge=1)  # k of the mean of the smallest
    normalize: Literal["none", "relu", "relu_clip"] = "relu"  # min-max per class over time
    upsample: Literal["stpn", "half_pixel", "none"] = "stpn"
    upsample_factor: int = Field(24, ge=1)  # of "stpn"; "half_pixel" resizes to the video's frame count
    thresholds: Thresholds = Field(expand_range("linspace(0,0.5,21)"))
    magnitude_thresholds: Thresholds = ()
    magnitude_source: Literal["gate", "minmax"] = "gate"  # UM: the gate; BackTAL: min-max of the magnitudes
    min_run: int = Field(1, ge=1)  # upsampled samples
    skip_run_at_zero: bool = True  # ignore a threshold whose only sample above is index 0
    outer_ratio: float = Field(0.25, ge=0)
    outer_closed: bool = True  # the right outer window includes its end (BaS-Net, UM)
    class_weight: float = Field(0.2, ge=0)
    class_term: Literal["score", "one"] = "score"  # what class_weight multiplies
    shrink: float = Field(0.0, ge=0, lt=0.5)  # cut this share of each proposal at both ends
    whole_video_score: float | None = None  # add [0, duration] with this score for each class with a proposal
    nms: Literal["hard", "soft_linear", "soft_gaussian", "none"] = "hard"
    nms_threshold: float = Field(0.7, gt=0)  # suppress at tIoU >= this (hard NMS and soft_linear)
    nms_offset: float = Field(0.0, ge=0)  # seconds added to lengths and overlaps (official: 1)
    soft_nms_sigma: float = Field(0.5, gt=0)
    min_score: float | None = None  # drop detections below; soft NMS stops at max(this, 1e-3)


class EvaluationConfig(Section):
    """At which tIoU the mAP is computed, and by which matching rules."""

    tiou: Overlaps = Field(expand_range("linspace(0.1,0.9,9)"))
    protocol: Literal["activitynet", "activitynet_numpy", "thumos14", "wtalc", "wtalc_unt"] = "activitynet"


class Config(Section):
    """A whole run. `model` and `loss` hold the constructor arguments of the method's model and loss."""

    method: str
    preset: str = ""
    data: DataConfig = DataConfig()
    model: dict[str, Any] = {}
    loss: dict[str, Any] = {}
    train: TrainConfig = TrainConfig()
    localization: LocalizationConfig = LocalizationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _metric_is_computed(self):
        wanted, tiou = self.train.selection_metric, self.evaluation.tiou
        if wanted != "average" and not any(abs(wanted - value) < 1e-9 for value in tiou):
            computed = ", ".join(f"{value:g}" for value in tiou)
            rule = f"average or one of evaluation.tiou ({computed})"
            raise InputError("setting train.selection_metric", expected=rule, found=f"{wanted:g}")
        return self
