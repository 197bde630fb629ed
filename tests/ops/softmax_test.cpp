#include "core/ops/softmax.h"

#include <cmath>

#include "core/ops/gating.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

namespace {

struct Softmax {
  Tensor p, logsumexp;
  Softmax(TestContext& ctx, ConstTensor z) : p(ctx.output(z.shape)), logsumexp(ctx.output({z.dim(0)})) {
    const Shape chosen{z.dim(0), 1};
    gating_forward(ctx, p, logsumexp, ctx.output(chosen, DType::i32), ctx.output(chosen), z, {});
  }
};

}  // namespace

TEST_CASE("the softmax's gradient", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor z = ctx.normal({6, 4}, 1), d_p = ctx.normal({6, 4}, 2), d_z = ctx.zeros({6, 4});
  softmax_backward(ctx, d_z, d_p, Softmax(ctx, z).p);
  check_gradients([&] { return dot(Softmax(ctx, z).p, d_p); }, {{"z", z, d_z}});
}

TEST_CASE("the gradient of the softmax's logarithm is added", "[cpu]") {
  TestContext ctx(DType::f64);
  const Tensor z = ctx.normal({6, 4}, 1), d_log_p = ctx.normal({6, 4}, 2), d_z = ctx.zeros({6, 4});
  const Tensor twice = ctx.zeros({6, 4});
  const Softmax softmax(ctx, z);
  log_softmax_backward(ctx, d_z, d_log_p, z, softmax.logsumexp);
  for (int i = 0; i < 2; ++i) log_softmax_backward(ctx, twice, d_log_p, z, softmax.logsumexp);
  const auto loss = [&] {
    const Tensor p = Softmax(ctx, z).p;
    double sum = 0;
    for (int64_t i = 0; i < p.size(); ++i) sum += std::log(get(p, i)) * get(d_log_p, i);
    return sum;
  };
  check_gradients(loss, {{"z", z, d_z}});
  for (int64_t i = 0; i < d_z.size(); ++i) CHECK(get(twice, i) == 2 * get(d_z, i));
}

}  // namespace moe::test
