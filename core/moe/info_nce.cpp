#include "core/moe/info_nce.h"

#include <algorithm>

#include "core/ops/elementwise.h"
#include "core/ops/info_nce.h"
#include "core/ops/matmul.h"
#include "core/ops/normalise_rows.h"

namespace moe {

void info_nce(Context& ctx, const TokenBatch& batch, Tensor losses, Tensor d_x, Tensor d_x_hat, ConstTensor x,
              ConstTensor x_hat, const InfoNceOptions& options, double factor) {
  ScratchScope scratch(ctx);
  const int64_t tokens = x.dim(0), block = std::min(options.block, batch.time);
  const Tensor unit = scratch.allocate(x.shape), unit_hat = scratch.allocate(x.shape);
  const Tensor norms = scratch.allocate_wide(Shape{tokens}), norms_hat = scratch.allocate_wide(Shape{tokens});
  normalise_rows_forward(ctx, unit, norms, x, 0);
  normalise_rows_forward(ctx, unit_hat, norms_hat, x_hat, 0);
  const Tensor products = scratch.allocate_wide(Shape{block * block});
  const Tensor d_unit = scratch.allocate(x.shape), d_unit_hat = scratch.allocate(x.shape);
  fill_zero(ctx, d_unit_hat);
  for (int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
    for (int64_t begin = 0; begin < batch.time; begin += block) {
      const int64_t first = sequence * batch.time + begin, n = std::min(block, batch.time - begin);
      const Tensor a = products.slice(0, n * n).reshape({n, n});
      const Tensor anchors = unit.slice(first, n), candidates = unit_hat.slice(first, n);
      linear_forward(ctx, a, anchors, candidates);
      diagonal_cross_entropy(ctx, losses.slice(first, n), a, options.temperature, factor,
                             batch.targets.slice(first, n));
      linear_backward_input(ctx, d_unit.slice(first, n), a, candidates);
      linear_backward_weight(ctx, d_unit_hat.slice(first, n), a, anchors);
    }
  }
  fill_zero(ctx, d_x);
  fill_zero(ctx, d_x_hat);
  normalise_rows_backward(ctx, d_x, d_unit, x, norms, 0);
  normalise_rows_backward(ctx, d_x_hat, d_unit_hat, x_hat, norms_hat, 0);
}

}  // namespace moe
