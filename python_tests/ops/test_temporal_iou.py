"""temporal_iou against hand tables and the formula."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from python_tests.ops import segment_oracles as oracle
from python_tests.tolerances import ROUNDING
from wtal_fast.ops import _library, temporal_iou, use_backend

BACKENDS = oracle.backends("temporal_iou")
seconds = st.integers(0, 40).map(lambda n: n / 4)
segment = st.tuples(seconds, seconds).map(sorted)


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request):
    with use_backend(request.param):
        assert _library.backend_of("temporal_iou") == request.param
        yield


@pytest.mark.parametrize("a, b, expected", [
    ((0, 10), (0, 10), 1.0),
    ((0, 10), (5, 15), 1 / 3),
    ((0, 10), (2, 4), 0.2),
    ((0, 1), (1, 2), 0.0),  # touching
    ((0, 1), (5, 6), 0.0),
    ((3, 3), (0, 10), 0.0),  # no length
    ((3, 3), (3, 3), 0.0),  # no union
])
def test_known_overlaps(a, b, expected):
    result = temporal_iou(torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64))
    assert result.tolist() == [[pytest.approx(expected, **ROUNDING)]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_oracle_and_is_symmetric(dtype):
    @given(st.lists(segment, max_size=6), st.lists(segment, max_size=6))
    def check(a, b):
        ta, tb = (torch.tensor(x, dtype=dtype).reshape(-1, 2) for x in (a, b))
        result = temporal_iou(ta, tb)
        assert result.dtype == dtype
        expected = torch.tensor([[oracle.iou(x, y) for y in b] for x in a], dtype=torch.float64).reshape(len(a), len(b))
        assert torch.equal(result, expected.to(dtype))
        assert torch.equal(result.T, temporal_iou(tb, ta))

    check()


def test_non_contiguous_input():
    wide = torch.tensor([[0.0, 99, 2], [1, 99, 5]])
    assert torch.equal(temporal_iou(wide[:, ::2], wide[:, ::2]), temporal_iou(wide[:, ::2].contiguous(), wide[:, ::2]))


@pytest.mark.parametrize("rows, columns", [(1, 9000), (3, 4097), (700, 5), (0, 4096), (33, 0)])
@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float64", "float32"), ("float16", "bfloat16"),
                                    ("bfloat16", "bfloat16"), ("float16", "float32")], ids="-".join)
def test_equals_the_reference_to_the_last_bit(dtypes, rows, columns):
    draw = torch.Generator().manual_seed(rows)
    a, b = (torch.rand(count, 2, generator=draw, dtype=torch.float64).mul(30).to(getattr(torch, name))
            for count, name in zip((rows, columns), dtypes, strict=True))  # half of them end before they start
    result = temporal_iou(a, b)
    with use_backend("reference"):
        expected = temporal_iou(a, b)
    assert result.dtype == expected.dtype and torch.equal(result, expected)
