"""Every tolerance of the tests, as keyword arguments: those with rtol and atol of torch.testing.assert_close or
numpy.testing.assert_allclose, those with rel and abs of pytest.approx."""

# Two processes sum gradients in another order than one.
PROCESSES = {"rtol": 1e-5, "atol": 1e-6}

# Losses of a few float32 steps on a GPU and on the CPU: sums in another order, then steps from there.
CUDA_TRAINING = {"rel": 1e-3, "abs": 1e-5}

# float64 arithmetic in another order.
ROUNDING = {"rel": 1e-12, "abs": 1e-12}

# Detections of the released code, seconds and scores: parts of it run in float32.
RELEASED_DETECTIONS = {"rtol": 0.0, "atol": 1e-6}

# mAP of the released evaluation on the same detections.
RELEASED_MAP = {"rtol": 0.0, "atol": 1e-12}

# Tables printed with four digits.
PUBLISHED_MAP = {"rtol": 0.0, "atol": 0.5001e-4}

# A formula and its fast form, both in float64.
EXACT_FORMULA = {"rtol": 1e-12, "atol": 1e-12}

# The same sums in float32 in another order, values of the order of 1.
FLOAT32_SUMS = {"rtol": 1e-5, "atol": 1e-5}

# bfloat16 products against float32, values of the order of 1.
BFLOAT16 = {"rtol": 2e-2, "atol": 5e-2}

# Forward pass, losses and gradients of the released code in float32, divided by the largest value of the tensor.
RELEASED_FORWARD = {"rtol": 0.0, "atol": 1e-5}
RELEASED_GRADIENT = {"rtol": 0.0, "atol": 1e-4}

# Gradients of a loss against those of its restatement with loops, both in float64.
FLOAT64_GRADIENT = {"rtol": 1e-8, "atol": 1e-10}

# A kernel against the reference of its op, by dtype: sums in another order, one rounding to the dtype of the result.
KERNEL = {
    "float64": {"rtol": 1e-13, "atol": 1e-13},
    "float32": {"rtol": 2e-6, "atol": 1e-6},
    "bfloat16": {"rtol": 1e-2, "atol": 1e-6},
    "float16": {"rtol": 2e-3, "atol": 1e-6},
}

# The same where the result is a sum of some hundred products of the order of 1 that may cancel.
KERNEL_SUMS = {
    "float64": {"rtol": 1e-12, "atol": 1e-12},
    "float32": {"rtol": 1e-5, "atol": 1e-5},
    "bfloat16": {"rtol": 1e-2, "atol": 1e-2},
    "float16": {"rtol": 2e-3, "atol": 2e-3},
}

# Gradients against central differences, float64.
GRADCHECK = {"eps": 1e-6, "atol": 1e-7, "rtol": 1e-6}

# Loss and gradient norms of training steps restated in another order, float64.
RELEASED_STEP = {"rtol": 1e-10, "atol": 1e-12}
