#include "numpy/bindings.h"

std::vector<wtal::Binder>& wtal::binders() {
  static std::vector<Binder> all;
  return all;
}

PYBIND11_MODULE(_numpy, module) {
  module.doc() = "Evaluation kernels on NumPy arrays; nothing here needs torch.";
  for (wtal::Binder add : wtal::binders()) add(module);
}
