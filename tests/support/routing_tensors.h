// Routing results of any size, for tests of the ops that read them.
#pragma once
#include "core/base/token.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

// Some tokens are padding.
inline Tensor some_targets(TestContext& ctx, int64_t tokens) {
  const Tensor targets = ctx.random_i32({tokens}, 5, 77);
  for (int64_t t = 2; t < tokens; t += 5) set(targets, t, kIgnoreTarget);
  return targets;
}

// Each token's k experts, all different, (tokens, k) i32; with `every` > 0 every `every`-th slot is empty.
inline Tensor some_choices(TestContext& ctx, int64_t tokens, int64_t experts, int64_t k, int64_t every = 0) {
  const Tensor indices = ctx.output({tokens, k}, DType::i32);
  for (int64_t i = 0; i < tokens * k; ++i) {
    const bool empty = every > 0 && i % every == every - 1;
    set(indices, i, empty ? -1 : static_cast<double>((3 * (i / k) + i % k) % experts));
  }
  return indices;
}

}  // namespace moe::test
