// A file of csrc/numpy adds its functions to wtal_fast._numpy with
//   WTAL_NUMPY_BINDINGS { module.def("name", &function, "docstring"); }
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <vector>

namespace wtal {

using Binder = void (*)(pybind11::module_&);

std::vector<Binder>& binders();

struct Bindings {
  explicit Bindings(Binder binder) { binders().push_back(binder); }
};

// C-contiguous array of one dtype; other layouts and dtypes are copied into it.
template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style | pybind11::array::forcecast>;

}  // namespace wtal

#define WTAL_NUMPY_BINDINGS                            \
  static void add_bindings(pybind11::module_& module); \
  static wtal::Bindings bindings(&add_bindings);       \
  static void add_bindings(pybind11::module_& module)
