#include "core/moe/balance_loss.h"

#include <cmath>
#include <map>

#include "core/moe/balance_set.h"
#include "core/ops/gating.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/modules.h"

namespace moe::test {

namespace {

// A routing of `tokens` tokens by their logits (tokens, experts).
Routing route(TestContext& ctx, Tensor logits, int64_t k) {
  const int64_t tokens = logits.dim(0);
  Routing r;
  r.x = ctx.zeros({tokens, 1});
  r.logits = logits;
  r.probabilities = ctx.output(logits.shape);
  r.logsumexp = ctx.output({tokens});
  r.indices = ctx.output({tokens, k}, DType::i32);
  r.weights = ctx.output({tokens, k});
  gating_forward(ctx, r.probabilities, r.logsumexp, r.indices, r.weights, r.logits, {});
  return r;
}

struct Case {
  std::vector<double> sums;
  std::unique_ptr<BalanceLoss> loss;
};

Case make_case(TestContext& ctx, const std::string& kind, const Routing& routing, ConstTensor targets) {
  Case c;
  c.loss = Choice<BalanceLoss>(kind).make(BalanceLoss::Setup{routing.logits.dim(1)});
  c.sums.resize(static_cast<size_t>(c.loss->num_sums()));
  c.loss->add_sums(ctx, c.sums, routing, targets);
  return c;
}

}  // namespace

TEST_CASE("every balance loss has its documented value at perfect balance and a finite gradient") {
  TestContext ctx(DType::f64);
  const int64_t experts = 4;
  // Equal probabilities, and each expert chosen equally often.
  Routing routing = route(ctx, ctx.zeros({8, experts}), 2);
  for (int64_t slot = 0; slot < 16; ++slot) routing.indices.as<int32_t>()[slot] = static_cast<int32_t>(slot % experts);
  const Tensor targets = ctx.constant({8}, 1, DType::i32);
  // A new loss comes with its value here.
  const std::map<std::string, double> known = {{"switch", 1}, {"z", std::pow(std::log(4), 2)}};
  for (const Member& member : family<BalanceLoss>()) {
    INFO(member.name);
    const Case c = make_case(ctx, member.name, routing, targets);
    CHECK(std::isfinite(c.loss->value(c.sums)));
    if (known.count(member.name)) CHECK(c.loss->value(c.sums) == Approx(known.at(member.name)));
    const Tensor d_logits = ctx.zeros({8, experts});
    c.loss->backward(ctx, d_logits, routing, targets, c.sums, 1);
    for (const double g : values(d_logits)) CHECK(std::isfinite(g));
    if (member.name == "switch") check_close("no gradient at balance", d_logits, std::vector<double>(32), {0, 1e-15});
  }
}

TEST_CASE("every balance loss stays finite at total collapse") {
  for (const double certainty : {1.0, 30.0, 1e4}) {
    TestContext ctx;  // f32, as in training
    const int64_t experts = 4;
    const Tensor logits = ctx.zeros({8, experts});
    for (int64_t t = 0; t < 8; ++t) set(logits, t * experts + 2, certainty);
    const Routing routing = route(ctx, logits, 1);
    const Tensor targets = ctx.constant({8}, 1, DType::i32);
    for (const Member& member : family<BalanceLoss>()) {
      INFO(member.name << " at " << certainty);
      const Case c = make_case(ctx, member.name, routing, targets);
      CHECK(std::isfinite(c.loss->value(c.sums)));
      if (member.name == "switch" && certainty > 20) CHECK(c.loss->value(c.sums) == Approx(4));
      const Tensor d_logits = ctx.zeros(logits.shape);
      c.loss->backward(ctx, d_logits, routing, targets, c.sums, 1);
      for (const double g : values(d_logits)) CHECK(std::isfinite(g));
    }
  }
}

TEST_CASE("every balance loss is 0 of no tokens, and adds its gradient with its factor") {
  TestContext ctx(DType::f64);
  const Routing none = route(ctx, ctx.zeros({0, 3}), 2), some = route(ctx, ctx.normal({6, 3}, 1), 2);
  const Tensor targets = ctx.of_i32({6}, {1, 1, kIgnoreTarget, 1, 1, 1});
  for (const Member& member : family<BalanceLoss>()) {
    INFO(member.name);
    CHECK(make_case(ctx, member.name, none, targets.slice(0, 0))
              .loss->value(make_case(ctx, member.name, none, targets.slice(0, 0)).sums) == 0);
    const Case c = make_case(ctx, member.name, some, targets);
    const Tensor once = ctx.zeros({6, 3}), added = ctx.constant({6, 3}, 1);
    c.loss->backward(ctx, once, some, targets, c.sums, 1);
    c.loss->backward(ctx, added, some, targets, c.sums, -2);
    std::vector<double> expected = values(once);
    for (double& g : expected) g = 1 - 2 * g;
    check_close("gradient", added, expected);
    for (int64_t e = 0; e < 3; ++e) CHECK(get(once, 2 * 3 + e) == 0);  // padding
  }
}

TEST_CASE("a set of balance losses adds up with its coefficients over micro-batches") {
  TestContext ctx(DType::f64);
  const TokenBatch whole = make_batch(ctx, 3, 4);
  const Routing routing = route(ctx, ctx.normal({12, 5}, 1), 2);
  MoEConfig config;
  config.balance = ChoiceList<BalanceLoss>{};
  for (const Member& member : family<BalanceLoss>()) config.balance.append().select(member.name);
  LayerSums layer_sums;
  BalanceSet set(layer_sums, config.balance, {5});
  std::vector<double> sums(layer_sums.size());
  layer_sums.bind(sums);
  set.observe(ctx, whole, routing);
  double weighted = 0;
  for (size_t i = 0; i < set.size(); ++i) {
    INFO(set.name(i));
    const Case c = make_case(ctx, set.name(i), routing, whole.targets);
    CHECK(set.value(i) == Approx(c.loss->value(c.sums)));
    weighted += c.loss->coefficient() * c.loss->value(c.sums);
  }
  CHECK(set.weighted_value() == Approx(weighted));
  set.set_scale(0.5);
  CHECK(set.weighted_value() == Approx(weighted / 2));
  CHECK(set.needs_whole_step());

  const auto once = sums;
  std::fill(sums.begin(), sums.end(), 0.0);
  TokenBatch part = whole;
  for (const auto& [begin, sequences] : {std::pair{0, 1}, std::pair{1, 0}, std::pair{1, 2}}) {
    part.sequences = sequences;
    part.targets = whole.targets.slice(begin * 4, sequences * 4);
    Routing piece = routing;
    for (Tensor* tensor : {&piece.logits, &piece.probabilities, &piece.logsumexp, &piece.indices, &piece.weights}) {
      *tensor = tensor->slice(begin * 4, sequences * 4);
    }
    piece.x = routing.x.slice(begin * 4, sequences * 4);
    set.observe(ctx, part, piece);
  }
  for (size_t i = 0; i < sums.size(); ++i) CHECK(sums[i] == Approx(once[i]).epsilon(1e-13));
}

TEST_CASE("a set without coefficients or global losses needs no whole step") {
  MoEConfig config;
  config.balance = ChoiceList<BalanceLoss>{};
  LayerSums sums;
  CHECK_FALSE(BalanceSet(sums, config.balance, {4}).needs_whole_step());
  CHECK(sums.size() == 0);
}

}  // namespace moe::test
