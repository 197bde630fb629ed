// Properties specific to `hierarchical` and `contrastive`; gradients and ranks are tested with the others.
#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

namespace {

double total(std::span<const double> numbers) {
  double sum = 0;
  for (const double n : numbers) sum += n;
  return sum;
}

}  // namespace

TEST_CASE("a hierarchy with one group equals plain") {
  LayerFixture plain(moe_config("{experts: 5, balance: []}")),
      one(moe_config(
          "{experts: 5, balance: [], strategy: {kind: hierarchical, groups: 1, group_router: {k: 1, softmax: "
          "all, renormalise: false}}}"));
  for (const Parameter& p : one.store.parameters()) {
    if (p.name != "layer.group0.router.weight") continue;
    for (const Parameter& q : plain.store.parameters()) {
      if (q.name != "layer.router.weight") continue;
      for (int64_t i = 0; i < p.value.size(); ++i) set(p.value, i, get(q.value, i));
    }
  }
  const TokenBatch batch = make_batch(plain.ctx, 2, 4);
  const Tensor x = plain.ctx.normal({8, kModelWidth}, 1);
  check_close("y", one.forward(batch, x), plain.forward(batch, x));
}

TEST_CASE("each token goes to k experts of each of its groups, and probabilities are products") {
  LayerFixture f(
      moe_config("{experts: 9, balance: [], router: {k: 2}, strategy: {kind: hierarchical, groups: 3, "
                 "group_router: {k: 2}, group_balance: []}}"));
  const TokenBatch batch = make_batch(f.ctx, 2, 4);
  f.forward(batch, f.ctx.normal({8, kModelWidth}, 1));
  CHECK(f.layer->experts_per_token() == 4);
  CHECK(f.layer->load().assignments() == 4 * 8);
  CHECK(total(f.layer->load().probability) == Approx(8));
  CHECK(total(f.layer->load().importance) == Approx(8));
}

TEST_CASE("both levels are balanced, each by its own losses") {
  const auto auxiliary = [](const std::string& balance, const std::string& group_balance) {
    LayerFixture f(
        moe_config(fmt::format("{{experts: 6, balance: {}, strategy: {{kind: hierarchical, group_router: {{k: "
                               "2}}, group_balance: {}}}}}",
                               balance, group_balance)));
    const TokenBatch batch = make_batch(f.ctx, 2, 4);
    f.forward(batch, f.ctx.normal({8, kModelWidth}, 1));
    CHECK(f.layer->needs_sums_before_backward() == (balance != "[]" || group_balance != "[]"));
    return f.layer->auxiliary_loss();
  };
  const double experts = auxiliary("[{kind: switch, coefficient: 1}]", "[]"),
               groups = auxiliary("[]", "[{kind: switch, coefficient: 1}]");
  CHECK(auxiliary("[]", "[]") == 0);
  CHECK(experts > 0.9);
  CHECK(groups == Approx(1));  // both groups are always chosen
  CHECK(auxiliary("[{kind: switch, coefficient: 1}]", "[{kind: switch, coefficient: 1}]") == Approx(experts + groups));
}

TEST_CASE("impossible hierarchies are refused") {
  CHECK_THROWS_WITH(LayerFixture(moe_config("{experts: 2, strategy: {kind: hierarchical, groups: 3}}")),
                    Catch::Contains("3 groups of 2 experts"));
  CHECK_THROWS_WITH(LayerFixture(moe_config("{experts: 6, strategy: {kind: hierarchical, group_router: {k: 2}, "
                                            "group_balance: [similarity]}}")),
                    Catch::Contains("group_balance"));
}

TEST_CASE("the contrastive loss starts after the first update and pulls outputs to their expert") {
  LayerFixture f(moe_config("{experts: 4, balance: [], strategy: {kind: contrastive, contrast: 1}}"));
  const TokenBatch batch = make_batch(f.ctx, 8, 4);
  const Tensor x = f.ctx.normal({32, kModelWidth}, 1), d_x = f.ctx.output(x.shape), nothing = f.ctx.zeros(x.shape);
  f.forward(batch, x);
  CHECK(f.layer->auxiliary_loss() == Approx(std::log(4)));  // without prototypes all experts are equally near
  f.layer->after_step(f.ctx);
  f.forward(batch, x);
  const double before = f.layer->auxiliary_loss();
  for (int step = 0; step < 100; ++step) {
    for (const ParameterGroup group : kTrainedGroups) {
      const Tensor gradient = f.store.buffer(group).gradient;
      for (int64_t i = 0; i < gradient.size(); ++i) set(gradient, i, 0);
    }
    f.forward(batch, x);
    f.layer->backward(f.ctx, batch, d_x, nothing);
    for (const ParameterGroup group : kTrainedGroups) {
      const ParameterBuffer& buffer = f.store.buffer(group);
      for (int64_t i = 0; i < buffer.value.size(); ++i) {
        set(buffer.value, i, get(buffer.value, i) - 0.3 * get(buffer.gradient, i));
      }
    }
    f.layer->after_step(f.ctx);
  }
  f.forward(batch, x);
  CHECK(f.layer->auxiliary_loss() < 0.7 * before);
}

}  // namespace moe::test
