// Dropout (core/ops/dropout.h).
#include <algorithm>

#include "core/ops/kernels/drop_factors.h"
#include "core/ops/kernels/row_kernels.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T>
void dropout(T* x, int64_t rows, int64_t d, const DropoutDraw<T>& draw) {
  const int64_t quads = (d + 3) / 4;
  constexpr int64_t kQuads = 64;  // whose factors are drawn at a time
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) {
    if (draw.ids && draw.ids[r] < 0) continue;
    const int64_t row = draw.first_row + (draw.ids ? draw.ids[r] : r);
    T factors[4 * kQuads];
    for (int64_t quad = 0; quad < quads; quad += kQuads) {
      drop_factors(factors, draw.key, static_cast<uint64_t>(row * quads + quad), std::min(kQuads, quads - quad),
                   draw.threshold, draw.keep);
      T* const to = x + r * d + 4 * quad;
      const int64_t count = std::min(4 * kQuads, d - 4 * quad);
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) to[i] *= factors[i];
    }
  }
}

template void dropout(float*, int64_t, int64_t, const DropoutDraw<float>&);
template void dropout(double*, int64_t, int64_t, const DropoutDraw<double>&);

}  // namespace moe::cpu::inline MOE_LEVEL
