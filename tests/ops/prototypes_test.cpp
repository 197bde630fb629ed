#include "core/ops/prototypes.h"

#include "comm/communicator.h"
#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("rows are labelled by the expert of their slot, and padding has no label") {
  TestContext ctx;
  // Token 0: experts 2 and 0; token 1 (padding): 1 and none; token 2: 0 and 2. Rows by expert.
  const Tensor indices = ctx.of_i32({3, 2}, {2, 0, 1, -1, 0, 2}), source = ctx.of_i32({6}, {1, 4, 2, 0, 5, -7});
  const Tensor labels = ctx.output({5}, DType::i32);
  expert_labels(ctx, labels, indices, source, ctx.of_i32({3}, {4, kIgnoreTarget, 4}));
  check_close("labels", labels, {0, 0, kIgnoreTarget, 2, 2}, {});
}

TEST_CASE("prototypes are moving averages of the experts' mean rows") {
  TestContext ctx(DType::f64);
  std::vector<double> sums{4, 6, 0, 0, 5, 6}, counts{2, 0, 1};
  const Tensor prototypes = ctx.of({3, 2}, {0, 0, 7, 8, 1, 2});
  update_prototypes(ctx, prototypes, as_tensor(std::span(sums)).reshape({3, 2}), as_tensor(std::span(counts)), 0.75);
  // The first was empty and takes the mean; the second has no tokens; the third moves by a quarter.
  check_close("prototypes", prototypes, {2, 3, 7, 8, 2, 3});
}

}  // namespace moe::test
