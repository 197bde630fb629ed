// Properties specific to `stochastic`; gradients and ranks are tested with the other strategies.
#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

namespace {

std::optional<double> measure(const LayerFixture& f, const std::string& name) {
  for (size_t i = 0; i < f.layer->measures().size(); ++i) {
    if (f.layer->measures().name(i) == name) return f.layer->measures().value(i);
  }
  FAIL("no measure " << name);
  return {};
}

}  // namespace

TEST_CASE("at evaluation stochastic equals plain, and has the same cost") {
  LayerFixture plain(moe_config("{experts: 5}")), stochastic(moe_config("{experts: 5, strategy: stochastic}"));
  const TokenBatch batch = make_batch(plain.ctx, 2, 4);
  const Tensor x = plain.ctx.normal({8, kModelWidth}, 1);
  plain.ctx.training = stochastic.ctx.training = false;
  check_same_bits("y", stochastic.forward(batch, x), plain.forward(batch, x));
  CHECK(stochastic.layer->load().assignments() == plain.layer->load().assignments());
  CHECK_FALSE(measure(stochastic, "uncertainty"));
}

TEST_CASE("in training both views are routed, and the gate starts at one half") {
  LayerFixture f(moe_config("{experts: 5, strategy: stochastic}"));
  const TokenBatch batch = make_batch(f.ctx, 2, 4);
  const Tensor x = f.ctx.normal({8, kModelWidth}, 1);
  f.forward(batch, x);
  CHECK(f.layer->load().assignments() == 2 * 2 * 8);
  CHECK(*measure(f, "merge_gate") == Approx(0.5));
  CHECK(*measure(f, "uncertainty") > 0);
  CHECK(f.layer->traits().training_passes == 2);
}

TEST_CASE("running noise starts at the first update and follows the data") {
  LayerFixture f(moe_config("{experts: 5, strategy: {kind: stochastic, statistics: running}}"));
  const TokenBatch batch = make_batch(f.ctx, 2, 4);
  const Tensor x = f.ctx.normal({8, kModelWidth}, 1);
  const auto without = values(f.forward(batch, x));
  f.layer->after_step(f.ctx);
  const auto with = values(f.forward(batch, x));
  CHECK(with != without);
  ++f.ctx.step;
  CHECK(values(f.forward(batch, x)) != with);  // another update has other noise
}

TEST_CASE("a single token has no negatives: its uncertainty is 0") {
  LayerFixture f(moe_config("{experts: 5, balance: [], strategy: stochastic}"));
  const TokenBatch batch = make_batch(f.ctx, 1, 1);
  const Tensor x = f.ctx.normal({1, kModelWidth}, 1);
  f.forward(batch, x);
  CHECK(*measure(f, "uncertainty") == Approx(0).margin(1e-12));
  f.layer->backward(f.ctx, batch, f.ctx.output(x.shape), f.ctx.normal(x.shape, 2));
}

}  // namespace moe::test
