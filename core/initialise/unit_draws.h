// Re-draws inner units of an expert that is made from a dense layer (drop-upcycling: Nakamura et al., 2025).
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/tensor/tensor.h"

namespace moe {

// Rows of an input matrix (matrices * d_ff, d_model) and columns of an output matrix (d_model, d_ff) belong to units.
struct ExpertMatrix {
  Shape shape;
  bool is_output = false;
  int64_t matrices = 1;  // number of matrices in an input matrix, stacked by rows

  int64_t units() const { return is_output ? shape[1] : shape[0] / matrices; }
  int64_t unit_of(int64_t element) const { return is_output ? element % shape[1] : element / shape[1] % units(); }
};

// Re-draws the values of the units for which is_drawn(unit) holds, with the mean and deviation of all values; `fresh`
// gives one draw per element.
void redraw_units(std::vector<float>& values, const ExpertMatrix& matrix, const std::function<bool(int64_t)>& is_drawn,
                  const RandomKey& fresh);

struct MeanAndDeviation {
  double mean = 0, deviation = 0;
};
MeanAndDeviation mean_and_deviation(const std::vector<float>& x);

}  // namespace moe
