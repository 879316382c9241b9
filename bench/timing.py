"""Interleaved timing: every contender once a round, in turn, so that whatever else the machine does falls on all."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from wtal_fast.ops._library import use_backend

SHORTEST_SAMPLE = 5e-3  # seconds: shorter calls are timed several in a row, with their data in the cache
LONG_CALL = 0.5  # seconds: longer calls need no warm-up rounds besides the call that checked their output
WARM_UP_ROUNDS = 3


@dataclass(frozen=True)
class Contender:
    """One call to time, by the name of its row, on a backend of its own unless that is ""."""

    name: str
    call: Callable[[], object]
    backend: str = ""


def finish(device: str) -> None:
    """Waits until `device` has done all it was asked."""
    if device == "cuda":
        torch.cuda.synchronize()


def sample(contender: Contender, count: int, device: str) -> float:
    """Seconds a call, mean of `count` in a row."""
    with use_backend(contender.backend) if contender.backend else nullcontext():
        finish(device)
        start = time.perf_counter()
        for _ in range(count):
            contender.call()
        finish(device)
        return (time.perf_counter() - start) / count


def interleaved(contenders: list[Contender], rounds: int, device: str = "cpu",
                budget: float = 60.0) -> list[list[float]]:
    """Seconds a call of each, sorted: one sample of each in turn, `rounds` times or until `budget` seconds are spent,
    at least twice. Every call has run before."""
    first = [sample(contender, 1, device) for contender in contenders]
    counts = [max(1, round(SHORTEST_SAMPLE / seconds)) for seconds in first]
    samples = [[] for _ in contenders]
    warm_up = 0 if max(first) > LONG_CALL else WARM_UP_ROUNDS
    if max(first) > LONG_CALL:
        samples = [[seconds] for seconds in first]
    started = time.perf_counter()
    for number in range(-warm_up, rounds):
        if len(samples[0]) >= 2 and time.perf_counter() - started > budget:
            break
        for contender, count, seconds in zip(contenders, counts, samples, strict=True):
            taken = sample(contender, count, device)
            if number >= 0:
                seconds.append(taken)
    return [sorted(seconds) for seconds in samples]


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and band from 20 to 80 per cent of sorted samples."""
    last = len(seconds) - 1
    return {"": seconds[round(last / 2)], "_20": seconds[round(last * 0.2)], "_80": seconds[round(last * 0.8)]}
