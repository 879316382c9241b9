"""The batches of a training: what optimizer step s reads, a function of the seed and of s alone."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from wtal_fast.config import Config
from wtal_fast.data.dataset import Dataset
from wtal_fast.data.features import FeatureSet
from wtal_fast.data.residency import SHARE
from wtal_fast.data.sampling import random_draws
from wtal_fast.engine.distributed import Processes, count_totals
from wtal_fast.engine.sampler import BatchPlan, generator
from wtal_fast.structures import BatchTotals, FeatureBatch


def placed(dataset: Dataset, device: torch.device, resident: str) -> Dataset:
    """`dataset` on a CUDA device where data.resident says so: "memory" always, "auto" where the features take at most
    half of what is free there. Else, and where they stay on disk, as it is."""
    if device.type != "cuda" or not isinstance(dataset.features, FeatureSet):
        return dataset
    values = dataset.features.values
    fits = values.numel() * values.element_size() <= SHARE * torch.cuda.mem_get_info(device)[0]
    return dataset.to(device) if resident == "memory" or fits else dataset


def training_feed(config: Config, dataset: Dataset, plan: BatchPlan, device: torch.device,
                  processes: Processes) -> ResidentFeed | StreamedFeed:
    """The feed for a data set that is, or is not, in the memory of the device that trains."""
    in_memory = isinstance(dataset.features, FeatureSet) and dataset.durations.device.type == device.type
    return (ResidentFeed if in_memory else StreamedFeed)(config, dataset, plan, device, processes)


class _Feed:
    """inputs(step): tensors on the device that say which batch it is; is_last: no later step follows.
    part(inputs, rows): the rows `rows` of it, with the totals of the whole batch where they are not all of it; without
    a read by the host, so that a CUDA graph can record it."""

    def __init__(self, config: Config, dataset: Dataset, plan: BatchPlan, device: torch.device, processes: Processes):
        self.config, self.dataset, self.plan = config, dataset, plan
        self.device, self.processes = device, processes

    def _drawn(self, step: int) -> dict[str, Tensor]:
        """Videos of the batch and, where snippets are drawn at random, the draws; on the host."""
        drawn, data = {"videos": self.plan.indices(step)}, self.config.data
        if data.train_sampling == "stratified":
            source = generator(self.config.train.seed, step, "snippets")
            drawn["draws"] = random_draws(len(drawn["videos"]), data.num_snippets, source)
        return drawn

    def _sample(self, drawn: dict[str, Tensor], rows: slice, out: Tensor | None) -> FeatureBatch:
        data, draws = self.config.data, drawn.get("draws")
        return self.dataset.sample(drawn["videos"][rows], data.num_snippets, data.train_sampling,
                                   None if draws is None else draws[rows], data.resize, out)

    def _totals(self, videos: Tensor) -> BatchTotals:
        dataset = self.dataset
        clicks = None if dataset.clicks is None else dataset.click_table(self.config.data.num_snippets)[videos]
        return count_totals(clicks, len(dataset.class_names), len(videos))

    def _moved(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.device.type == "cpu":
            return tensors
        pinned = {name: tensor if tensor.is_pinned() else tensor.pin_memory() for name, tensor in tensors.items()}
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in pinned.items()}


class ResidentFeed(_Feed):
    """The whole data set lies in the memory of the device: inputs are indices, a batch is one gather."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._memory: Tensor | None = None

    def inputs(self, step: int, is_last: bool = False) -> dict[str, Tensor]:
        return self._moved(self._drawn(step))

    def part(self, inputs: dict[str, Tensor], rows: slice) -> FeatureBatch:
        size = len(inputs["videos"])
        batch = self._sample(inputs, rows, self._features(rows.stop - rows.start))
        whole = rows == slice(0, size)
        return batch if whole else replace(batch, totals=self._totals(inputs["videos"]))

    def _features(self, videos: int) -> Tensor | None:
        """Memory that every batch overwrites: on the CPU fresh memory costs more than the gather itself. A CUDA graph
        brings its own."""
        if self.device.type != "cpu":
            return None
        data = self.config.data
        if self._memory is None or len(self._memory) < videos:
            self._memory = torch.empty(videos, data.num_snippets, self.dataset.feature_dim,
                                       dtype=self.dataset.features.values.dtype)
        return self._memory[:videos]


class StreamedFeed(_Feed):
    """The data set lies elsewhere: a thread reads the next batch while the device works on this one, and no further.
    Of several processes each reads its own rows only."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._reader = ThreadPoolExecutor(1, "wtal_fast-reader")
        self._waiting: dict[int, Future] = {}

    def inputs(self, step: int, is_last: bool = False) -> dict[str, Tensor]:
        batch = (self._waiting.pop(step, None) or self._reader.submit(self._read, step)).result()
        self._waiting = {} if is_last else {step + 1: self._reader.submit(self._read, step + 1)}
        return self._moved(batch)

    def part(self, inputs: dict[str, Tensor], rows: slice) -> FeatureBatch:
        size = len(inputs["videos"])
        own = self.processes.rows(size)
        here = slice(rows.start - own.start, rows.stop - own.start)
        totals = None if rows == slice(0, size) else BatchTotals(size, inputs["clicks_total"], inputs["clicked_total"])
        fields = {name.removeprefix("batch."): tensor[here] for name, tensor in inputs.items() if "." in name}
        return FeatureBatch(**fields, totals=totals)

    def _read(self, step: int) -> dict[str, Tensor]:
        drawn = self._drawn(step)
        rows, totals = self.processes.rows(len(drawn["videos"])), self._totals(drawn["videos"])
        data, pinned = self.config.data, self.device.type == "cuda"
        out = torch.empty(rows.stop - rows.start, data.num_snippets, self.dataset.feature_dim, pin_memory=pinned)
        batch = self._sample(drawn, rows, out)
        tensors = {f"batch.{name}": value for name, value in vars(batch).items() if isinstance(value, Tensor)}
        return {"videos": drawn["videos"], "clicks_total": torch.as_tensor(totals.clicks),
                "clicked_total": torch.as_tensor(totals.clicked_videos), **tensors}
