// Compares tensors. A NaN fails before anything else, and the first wrong element is reported with both its values.
#pragma once
#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace moe::test {

// An element may differ by absolute + relative * (Euclidean norm of its row of the expected values).
struct Tolerance {
  double relative = 0;
  double absolute = 0;
};
Tolerance tolerance_of(DType dtype);  // the errors that rounding explains: 2e-2 for bf16, 1e-5 for f32, 1e-12 for f64

// Each makes one Catch check and returns whether it passed.
bool check_close(const std::string& what, ConstTensor actual, const std::vector<double>& expected, Tolerance tolerance);
bool check_close(const std::string& what, ConstTensor actual, ConstTensor expected, Tolerance tolerance);
bool check_close(const std::string& what, ConstTensor actual, const std::vector<double>& expected);
bool check_close(const std::string& what, ConstTensor actual, ConstTensor expected);

// Compares bit by bit.
bool check_same_bits(const std::string& what, ConstTensor actual, ConstTensor expected);

}  // namespace moe::test
