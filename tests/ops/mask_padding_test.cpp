#include "core/ops/mask_padding.h"

#include "core/base/token.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

TEST_CASE("ids of padding are masked, all others stay") {
  TestContext ctx;
  const Tensor ids = ctx.of_i32({3}, {7, 8, 9});
  mask_padding(ctx, ids, ctx.of_i32({3}, {1, kIgnoreTarget, 1}));
  check_close("masked ids", ids, {7, static_cast<double>(kIgnoreTarget), 9}, {});
}

}  // namespace moe::test
