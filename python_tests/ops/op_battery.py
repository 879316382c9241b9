"""What every op is tested for, whatever it computes. An op's test file subclasses OpBattery; see test_topk_mean.py.

The compiled kernels are compared with the op's reference; in a process with TRITON_INTERPRET=1 the Triton kernels are,
since Triton has to be imported under that setting (test_library.py starts such a process). What does not depend on
the kernel, or would take its interpreter minutes, is left to the other process.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field

import hypothesis
import pytest
import torch
from torch import Tensor

from python_tests import tolerances
from wtal_fast.ops import _library, use_backend

TRITON = os.environ.get("TRITON_INTERPRET") == "1"
BACKEND = "triton" if TRITON else "native"
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
EXAMPLES = int(os.environ.get("WTAL_EXAMPLES", "25"))  # random examples of a dtype and layout


def fewer(cases: list, times: int) -> list:
    """Every `times`-th case under Triton's interpreter, which takes 20 ms a row; all of them elsewhere."""
    return cases[::times] if TRITON else cases


@dataclass
class Sample:
    """Arguments of the op's public function, floating-point tensors in float64."""

    name: str
    arguments: tuple
    options: dict = field(default_factory=dict)

    def to(self, dtype: torch.dtype, layout=lambda tensor: tensor) -> tuple[tuple, dict]:
        """The arguments, floating-point tensors in `dtype`, each tensor in `layout`."""

        def convert(value):
            if not isinstance(value, Tensor):
                return value
            return layout(value.to(dtype) if value.is_floating_point() else value)

        return tuple(map(convert, self.arguments)), {key: convert(value) for key, value in self.options.items()}


def _guard(tensor: Tensor):
    """What no kernel may read: NaN, or for integers their largest value."""
    if tensor.dtype == torch.bool:
        return True
    return torch.nan if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max


def _transposed(tensor: Tensor) -> Tensor:
    if tensor.dim() < 2:
        return tensor
    return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)


def _every_second(tensor: Tensor) -> Tensor:
    buffer = tensor.new_full((*tensor.shape[:-1], 2 * tensor.shape[-1]), _guard(tensor))
    buffer[..., ::2] = tensor
    return buffer[..., ::2]


def _inside(tensor: Tensor) -> Tensor:
    """In the middle of a buffer of guards: reading beside the tensor shows in the result."""
    buffer = tensor.new_full([size + 2 for size in tensor.shape], _guard(tensor))
    view = buffer[tuple(slice(1, -1) for _ in tensor.shape)]
    view.copy_(tensor)
    return view


def _misaligned(tensor: Tensor) -> Tensor:
    buffer = tensor.new_full((tensor.numel() + 2,), _guard(tensor))
    return buffer[1:-1].copy_(tensor.reshape(-1)).view(tensor.shape)


def _expanded(tensor: Tensor) -> Tensor:
    return tensor[..., :1].expand(tensor.shape) if tensor.numel() else tensor


def _expanded_rows(tensor: Tensor) -> Tensor:
    return tensor[:1].expand(tensor.shape) if tensor.numel() else tensor


def _dense_copy(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)


LAYOUTS = {
    "contiguous": Tensor.contiguous,
    "transposed": _transposed,
    "every second": _every_second,
    "inside NaN": _inside,
    "misaligned": _misaligned,
    "expanded": _expanded,
    "expanded rows": _expanded_rows,
}


def laid_out(arguments: tuple, layouts=tuple(LAYOUTS)):
    """The raw arguments of an op in every dtype and layout."""
    for dtype, layout in itertools.product(DTYPES, layouts):
        yield Sample("", arguments).to(dtype, LAYOUTS[layout])[0]


def tensors_of(result) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


def leaves(arguments: tuple) -> list[Tensor]:
    return [value for value in arguments if isinstance(value, Tensor) and value.is_floating_point()]


def run(function, arguments: tuple, options: dict, differentiable: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Results, and where differentiable the gradients of their weighted sum. Strides of the arguments are kept."""
    arguments = tuple(value.detach() if isinstance(value, Tensor) else value for value in arguments)
    for value in leaves(arguments):
        value.requires_grad_(differentiable)
    results = tensors_of(function(*arguments, **options))
    if not differentiable:
        return results, []
    weights = [torch.arange(1, result.numel() + 1, dtype=result.dtype, device=result.device).view(result.shape) % 7
               for result in results]
    return [result.detach() for result in results], list(torch.autograd.grad(results, leaves(arguments), weights))


def assert_equal(actual: list[Tensor], expected: list[Tensor], dtype: torch.dtype, what: str,
                 allowed: dict[str, dict] = tolerances.KERNEL) -> None:
    assert len(actual) == len(expected)
    for value, wanted in zip(actual, expected, strict=True):
        assert value.dtype == wanted.dtype, what
        exact = {"rtol": 0, "atol": 0}
        tolerance = allowed[str(dtype).removeprefix("torch.")] if value.is_floating_point() else exact
        torch.testing.assert_close(value, wanted, equal_nan=True, msg=lambda text: f"{what}\n{text}", **tolerance)


class OpBattery:
    """Tests of one op. Give a subclass named Test<Op> what is declared here."""

    function = None  # the public function, as a staticmethod
    kernels_of: tuple[str, ...] = ()  # names of the ops that have compiled kernels
    triton_kernels_of: tuple[str, ...] = ()  # and Triton kernels
    differentiable = False
    dtypes = DTYPES
    tolerance = tolerances.KERNEL

    def samples(self) -> list[Sample]:
        """Ordinary arguments: several sizes, options, ties, NaN where the op takes it, empty tensors."""
        raise NotImplementedError

    def smooth_samples(self) -> list[Sample]:
        """Tiny arguments at which the op is differentiable."""
        return []

    def examples(self, empty: bool):
        """Strategy of random Samples with values that bfloat16 holds; `empty`: those without a row. None: no such test.
        """
        return None

    def expected(self, arguments: tuple, options: dict) -> list[Tensor]:
        """What the op must return for an example, by an independent statement of its rule."""
        raise NotImplementedError

    def raw_samples(self) -> list[tuple]:
        """(overload, arguments) of each dispatcher op behind the function, in every dtype and layout."""
        raise NotImplementedError

    def wrong_arguments(self) -> dict[str, tuple]:
        """{what is wrong: (function without arguments, exception, pattern of its message)}, at least 12."""
        raise NotImplementedError

    def test_which_kernel_runs(self, kernels):
        for name in self.triton_kernels_of if TRITON else self.kernels_of:
            assert _library.backend_of(name, "cpu") == BACKEND, name
            with use_backend("reference"):
                assert _library.backend_of(name, "cpu") == "reference", name
            assert _library.backend_of(name, "cpu") == BACKEND, name

    @pytest.mark.parametrize("layout", fewer(list(LAYOUTS), 2))
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_equals_reference(self, kernels, dtype, layout):
        if dtype not in self.dtypes:
            return
        for sample in self.samples():
            arguments, options = sample.to(dtype, LAYOUTS[layout])
            dense, _ = Sample("", arguments, options).to(dtype, _dense_copy)
            before = [value.clone() for value in leaves(arguments)]
            with use_backend("reference"):
                expected, expected_grads = run(self.function, dense, options, self.differentiable)
            actual, grads = run(self.function, arguments, options, self.differentiable)
            assert_equal(actual, expected, dtype, f"{sample.name}: result", self.tolerance)
            assert_equal(grads, expected_grads, dtype, f"{sample.name}: gradient", self.tolerance)
            for value, original in zip(leaves(arguments), before, strict=True):
                torch.testing.assert_close(value, original, rtol=0, atol=0, equal_nan=True, msg=f"{sample.name}: input")

    @pytest.mark.hypothesis
    @pytest.mark.parametrize("layout", [*LAYOUTS, "size 0"])
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_equals_independent_statement(self, kernels, dtype, layout):
        examples = self.examples(empty=layout == "size 0")
        if TRITON or examples is None:
            return

        @hypothesis.given(examples)
        @hypothesis.settings(max_examples=EXAMPLES)
        def check(sample):
            arguments, options = sample.to(dtype, LAYOUTS.get(layout, Tensor.contiguous))
            expected = self.expected(arguments, options)
            assert_equal(tensors_of(self.function(*arguments, **options)), expected, dtype, sample.name)

        check()

    def test_same_bits_every_time(self, kernels):
        if TRITON:
            return
        threads = torch.get_num_threads()
        for sample in self.samples():
            arguments, options = sample.to(torch.float32)
            runs = []
            for count in (1, 2, 3, 1):
                torch.set_num_threads(count)
                results, grads = run(self.function, arguments, options, self.differentiable)
                runs.append([value.contiguous().view(torch.uint8) for value in results + grads])
            torch.set_num_threads(threads)
            for again in runs[1:]:
                assert all(torch.equal(*pair) for pair in zip(runs[0], again, strict=True)), sample.name

    def test_gradcheck(self, kernels):
        if TRITON:
            return
        if not self.differentiable:
            arguments, options = self.samples()[-1].to(torch.float64)
            for value in leaves(arguments):
                value.requires_grad_()
            assert not any(value.requires_grad for value in tensors_of(self.function(*arguments, **options)))
        for sample in self.smooth_samples():
            arguments, options = sample.to(torch.float64)
            for value in leaves(arguments):
                value.requires_grad_()
            assert torch.autograd.gradcheck(lambda *given: self.function(*given, **options), arguments,  # noqa: B023
                                            **tolerances.GRADCHECK), sample.name

    def test_no_second_derivative(self, kernels):
        for sample in self.smooth_samples()[:1]:
            arguments, options = sample.to(torch.float64)
            value = leaves(arguments)[0].requires_grad_()
            total = sum(result.square().sum() for result in tensors_of(self.function(*arguments, **options)))
            grad, = torch.autograd.grad(total, value, create_graph=True)
            with pytest.raises(RuntimeError, match="differentiate twice"):
                grad.sum().backward()

    def test_opcheck(self, kernels):
        if TRITON:
            return
        for overload, arguments in list(self.raw_samples())[::4]:  # every dtype and every layout
            torch.library.opcheck(overload, arguments)

    @pytest.mark.slow
    def test_opcheck_of_every_dtype_and_layout(self, kernels):
        for overload, arguments in self.raw_samples():
            torch.library.opcheck(overload, arguments)

    def test_compiles(self, kernels):
        """As one graph, forward and backward."""
        if TRITON:
            return
        torch._dynamo.reset()
        compiled = torch.compile(self.function, fullgraph=True, backend="aot_eager")
        samples = self.samples()
        for sample in samples[:: max(1, len(samples) // 4)]:
            arguments, options = sample.to(torch.float32)
            expected, expected_grads = run(self.function, arguments, options, self.differentiable)
            actual, grads = run(compiled, arguments, options, self.differentiable)
            assert_equal(actual + grads, expected + expected_grads, torch.float32, sample.name, self.tolerance)

    def test_wrong_arguments(self):
        wrong = self.wrong_arguments()
        assert len(wrong) >= 12
        for what, (call, exception, pattern) in wrong.items():
            with pytest.raises(exception, match=pattern) as raised:
                call()
            assert type(raised.value) is exception, what


def product(**choices) -> list[dict]:
    """Every combination of the choices, as keyword arguments."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
