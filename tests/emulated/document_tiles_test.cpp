// Attention within documents computes only the tiles that hold a document's queries and keys.
#include <cstdlib>
#include <string>
#include <vector>

#include "core/ops/attention.h"
#include "core/tensor/device.h"
#include "tests/emulator/emulator.h"
#include "tests/support/catch.h"
#include "tests/support/documents.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

// The numbers of matrix products of forward and of backward.
struct Products {
  uint64_t forward = 0, backward = 0;
};

Products products_of(TestContext& ctx, const AttentionLayout& layout) {
  const Tensor qkv = ctx.normal({layout.time, layout.width()}, 1), d_out = ctx.normal({layout.time, 64}, 2);
  const Tensor out = ctx.output(d_out.shape), logsumexp = ctx.wide_output({layout.time, 1}),
               d_qkv = ctx.output(qkv.shape);
  const uint64_t before = emulator::num_products;
  attention_forward(ctx, out, logsumexp, qkv, layout);
  const uint64_t between = emulator::num_products;
  attention_backward(ctx, d_qkv, d_out, qkv, out, logsumexp, layout);
  return {between - before, emulator::num_products - between};
}

}  // namespace

TEST_CASE("attention within documents skips the tiles of other documents") {
  for (const char* capability : {"80", "90"}) {
    const char* before = std::getenv("MOE_EMULATOR_CAPABILITY");
    const std::string kept = before ? before : "80";
    setenv("MOE_EMULATOR_CAPABILITY", capability, 1);
    const auto device = cuda::make_queue(0);
    setenv("MOE_EMULATOR_CAPABILITY", kept.c_str(), 1);
    TestContext ctx(DType::bf16, Device::cuda);
    ctx.queue = device.get();
    const AttentionLayout layout{512, 1, 1, 64};
    const auto divided = [&](int32_t length) {
      std::vector<int32_t> begins, ends;
      for (int32_t token = 0; token < layout.time; ++token) {
        begins.push_back(token / length * length);
        ends.push_back(begins.back() + length);
      }
      AttentionLayout documents = layout;
      documents.begins = ctx.of_i32({layout.time}, begins).as<int32_t>();
      documents.ends = ctx.of_i32({layout.time}, ends).as<int32_t>();
      return documents;
    };
    INFO("capability " << capability);
    const Products whole = products_of(ctx, layout), one = products_of(ctx, divided(512)),
                   four = products_of(ctx, divided(128));
    REQUIRE(whole.forward > 0);
    CHECK(one.forward == whole.forward);
    CHECK(one.backward == whole.backward);
    // Tiles of 64 queries and 64 keys: 36 on and below the diagonal, of which 4 times 3 are within documents. Hopper's
    // are 128 by 128 in forward, 10 and 4, and 128 by 64 in backward: 8 + 6 + 4 + 2 and 4 times 2.
    const bool is_hopper = capability == std::string("90");
    CHECK(four.forward * (is_hopper ? 10 : 36) == whole.forward * (is_hopper ? 4 : 12));
    CHECK(four.backward * (is_hopper ? 20 : 36) == whole.backward * (is_hopper ? 8 : 12));
  }
}

}  // namespace moe::test
