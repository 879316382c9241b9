"""What is measured: for each name that `python -m bench.run` takes, ours and the baselines on equal inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench import cases_data, cases_evaluate, cases_files, cases_ops, cases_postprocessing, cases_steps
from bench.case import Case, Plan

CASES: dict[str, Callable[[Plan], Iterator[Case]]] = {
    **cases_ops.CASES, **cases_data.CASES, **cases_steps.CASES, **cases_postprocessing.CASES, **cases_evaluate.CASES,
    **cases_files.CASES}
