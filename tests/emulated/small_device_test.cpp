// Devices with 99 KiB of shared memory per block, as consumer GPUs have.
#include <cstdlib>

#include "core/ops/attention.h"
#include "core/tensor/device.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/exact.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

std::shared_ptr<cuda::Queue> small_device() {
  const char* before = std::getenv("MOE_EMULATOR_CAPABILITY");
  const std::string kept = before ? before : "80";
  setenv("MOE_EMULATOR_CAPABILITY", "86", 1);
  auto queue = cuda::make_queue(0);
  setenv("MOE_EMULATOR_CAPABILITY", kept.c_str(), 1);
  return queue;
}

struct Attention {
  Tensor qkv, d_out, out, logsumexp, d_qkv;
  Attention(TestContext& ctx, const AttentionLayout& layout)
      : qkv(ctx.normal({2 * layout.time, layout.width()}, 1)),
        d_out(ctx.normal({2 * layout.time, layout.heads * layout.d_head}, 2)),
        out(ctx.output(d_out.shape)),
        logsumexp(ctx.wide_output({2 * layout.time, layout.heads})),
        d_qkv(ctx.output(qkv.shape)) {}
};

}  // namespace

TEST_CASE("wide heads fit in little shared memory; in f32 an error names what does not fit") {
  const auto device = small_device();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const bool causal : {true, false}) {
      const AttentionLayout layout{97, 2, 1, 128, causal};
      TestContext ctx(dtype, Device::cuda);
      ctx.queue = device.get();
      const Attention a(ctx, layout);
      attention_forward(ctx, a.out, a.logsumexp, a.qkv, layout);
      const auto backward = [&] { attention_backward(ctx, a.d_qkv, a.d_out, a.qkv, a.out, a.logsumexp, layout); };
      Exact exact;
      const Tensor qkv = exact(a.qkv), out = exact.output(a.out.shape), lse = exact.output(a.logsumexp.shape),
                   d_qkv = exact.output(a.qkv.shape);
      attention_forward(exact, out, lse, qkv, layout);
      attention_backward(exact, d_qkv, exact(a.d_out), qkv, out, lse, layout);
      const bool rounds = dtype == DType::bf16;
      check_close("out", a.out, out, rounds ? Tolerance{2e-2, 2e-2} : Tolerance{1e-5, 1e-5});
      if (rounds) {
        backward();
        check_close("d_qkv", a.d_qkv, d_qkv, {2e-2, 4e-2});
      } else {
        CHECK_THROWS_WITH(backward(), Catch::Contains("precision: bf16"));
      }
    }
  }
}

}  // namespace moe::test
