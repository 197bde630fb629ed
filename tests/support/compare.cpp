#include "tests/support/compare.h"

#include <cmath>
#include <cstring>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/test_context.h"

namespace moe::test {

Tolerance tolerance_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return {1e-12, 1e-14};
    case DType::bf16:
      return {2e-2, 1e-6};
    default:
      return {1e-5, 1e-7};
  }
}

// (row, column, ...) of element i
static std::string place(const Shape& shape, int64_t i) {
  std::string result;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    result = fmt::format("{}{}{}", i % shape[axis], result.empty() ? "" : ", ", result);
    i /= shape[axis];
  }
  return "(" + result + ")";
}

// Empty when there is no difference.
static std::string difference(ConstTensor actual, const std::vector<double>& expected, Tolerance tolerance) {
  if (actual.size() != static_cast<int64_t>(expected.size())) {
    return fmt::format("{} against {} elements", actual.shape.to_string(), expected.size());
  }
  for (int64_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(get(actual, i))) return fmt::format("element {} is NaN", place(actual.shape, i));
  }
  const int64_t width = actual.shape.rank() == 0 ? 1 : actual.dim(actual.shape.rank() - 1);
  for (int64_t begin = 0; begin < actual.size(); begin += width) {
    double squares = 0;
    for (int64_t i = begin; i < begin + width; ++i) squares += std::pow(expected[as_index(i)], 2);
    const double allowed = tolerance.absolute + tolerance.relative * std::sqrt(squares);
    for (int64_t i = begin; i < begin + width; ++i) {
      const double is = get(actual, i), wanted = expected[as_index(i)];
      if (is != wanted && !(std::abs(is - wanted) <= allowed)) {
        return fmt::format("element {} is {}, not {}; they differ by {:.3g}, allowed is {:.3g}", place(actual.shape, i),
                           is, wanted, is - wanted, allowed);
      }
    }
  }
  return "";
}

static bool report(const std::string& what, const std::string& problem) {
  INFO(what << ": " << problem);
  CHECK(problem.empty());
  return problem.empty();
}

bool check_close(const std::string& what, ConstTensor actual, const std::vector<double>& expected,
                 Tolerance tolerance) {
  return report(what, difference(actual, expected, tolerance));
}

bool check_close(const std::string& what, ConstTensor actual, ConstTensor expected, Tolerance tolerance) {
  return check_close(what, actual, values(expected), tolerance);
}

bool check_close(const std::string& what, ConstTensor actual, const std::vector<double>& expected) {
  return check_close(what, actual, expected, tolerance_of(actual.dtype));
}

bool check_close(const std::string& what, ConstTensor actual, ConstTensor expected) {
  return check_close(what, actual, values(expected), tolerance_of(actual.dtype));
}

bool check_same_bits(const std::string& what, ConstTensor actual, ConstTensor expected) {
  if (actual.bytes() != expected.bytes() || actual.dtype != expected.dtype) {
    return report(what, fmt::format("{} against {}", actual.shape.to_string(), expected.shape.to_string()));
  }
  const size_t element = size_of(actual.dtype);
  const auto *is = host_data<char>(actual), *wanted = host_data<char>(expected);
  for (int64_t i = 0; i < actual.size(); ++i) {
    const auto at = static_cast<size_t>(i) * element;
    if (std::memcmp(is + at, wanted + at, element)) {
      return report(what,
                    fmt::format("element {} is {}, not {}", place(actual.shape, i), get(actual, i), get(expected, i)));
    }
  }
  return report(what, "");
}

}  // namespace moe::test
