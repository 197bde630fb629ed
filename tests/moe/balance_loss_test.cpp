#include "core/moe/balance_loss.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/moe/balance_set.h"
#include "core/ops/gating.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/layer_fixture.h"
#include "tests/support/modules.h"

namespace moe::test {

namespace {

// Returns the routing of `tokens` tokens by their logits (tokens, experts).
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
  r.noise = {logits, logits, ctx.constant(logits.shape, 1), ctx.zeros(logits.shape), ctx.zeros(logits.shape)};
  return r;
}

constexpr int64_t kWidth = 3;  // width of the experts' outputs

// An output for every slot: different for each expert, or equal for all.
ExpertOutputs make_outputs(TestContext& ctx, const Routing& routing, bool alike = false) {
  const int64_t slots = routing.indices.size();
  const Tensor rows = ctx.normal({slots, kWidth}, 4, 0.1), position = ctx.output(routing.indices.shape, DType::i32);
  for (int64_t s = 0; s < slots; ++s) {
    const int32_t expert = routing.indices.as<int32_t>()[s];
    position.as<int32_t>()[s] = expert < 0 ? -1 : static_cast<int32_t>(slots - 1 - s);
    if (expert < 0) continue;
    const double sign = alike ? 1 : expert % 2 ? -1 : 1;
    for (int64_t i = 0; i < kWidth; ++i) {
      const bool own = alike || i == expert / 2;
      set(rows, (slots - 1 - s) * kWidth + i, own ? sign : 0);
    }
  }
  return {rows, position};
}

// The gradients that a loss may add in backward.
struct LossGradients {
  Tensor logits, weights, rows;
};
LossGradients gradients_of(TestContext& ctx, const BalanceLoss& loss, const Routing& routing, ConstTensor targets,
                           std::span<const double> sums, double factor, double before = 0) {
  const ExpertOutputs outputs = make_outputs(ctx, routing);
  const LossGradients d{ctx.constant(routing.logits.shape, before), ctx.constant(routing.weights.shape, before),
                        ctx.constant(outputs.rows.shape, before)};
  for (const Tensor& buffer : {routing.noise.d_noisy, routing.noise.d_deviation}) {
    for (int64_t i = 0; i < buffer.size(); ++i) set(buffer, i, before);
  }
  if (loss.sees_outputs()) {
    loss.output_backward(ctx, d.rows, routing, outputs, targets, sums, factor);
  } else {
    loss.backward(ctx, {d.logits, d.weights}, routing, targets, sums, factor);
  }
  return d;
}

struct Case {
  std::vector<double> sums;
  std::unique_ptr<BalanceLoss> loss;
};

Case make_case(TestContext& ctx, const std::string& kind, const Routing& routing, ConstTensor targets) {
  Case c;
  c.loss = Choice<BalanceLoss>(kind).make(BalanceLoss::Setup{routing.logits.dim(1), kWidth});
  c.sums.resize(static_cast<size_t>(c.loss->num_sums()));
  if (c.loss->sees_outputs()) {
    c.loss->add_output_sums(ctx, c.sums, routing, make_outputs(ctx, routing), targets);
  } else {
    c.loss->add_sums(ctx, c.sums, routing, targets);
  }
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
  // A new loss needs its value here.
  const std::map<std::string, double> known = {{"switch", 1},
                                               {"sequence", 1},
                                               {"gshard", 1},
                                               {"importance", 0},
                                               {"stable", 0},
                                               {"load", 0},
                                               {"kl", 0},
                                               {"entropy", -std::log(4)},
                                               {"entropy_global", 0},
                                               {"entropy_local", std::log(4)},
                                               {"similarity", 0},
                                               {"z", std::pow(std::log(4), 2)}};
  for (const Member& member : family<BalanceLoss>()) {
    INFO(member.name);
    const Case c = make_case(ctx, member.name, routing, targets);
    CHECK(std::isfinite(c.loss->value(c.sums)));
    REQUIRE(known.count(member.name) == 1);
    CHECK(c.loss->value(c.sums) == Approx(known.at(member.name)).margin(1e-14));
    const LossGradients d = gradients_of(ctx, *c.loss, routing, targets, c.sums, 1);
    for (const ConstTensor& part : {ConstTensor(d.logits), ConstTensor(d.weights), ConstTensor(d.rows),
                                    ConstTensor(routing.noise.d_noisy), ConstTensor(routing.noise.d_deviation)}) {
      for (const double g : values(part)) CHECK(std::isfinite(g));
    }
    if (member.name == "z" || member.name == "gshard") continue;  // gshard counts only expert 0 here
    check_close("no gradient of logits", d.logits, std::vector<double>(32), {0, 1e-15});
    check_close("no gradient of weights", d.weights, std::vector<double>(16), {0, 1e-15});
  }
}

TEST_CASE("z over the chosen experts or the rest, by hand") {
  TestContext ctx(DType::f64);
  const Routing routing = route(ctx, ctx.zeros({8, 4}), 1);
  const Tensor targets = ctx.constant({8}, 1, DType::i32);
  for (const auto& [over, experts] : {std::pair{"all", 4}, std::pair{"chosen", 1}, std::pair{"rest", 3}}) {
    const MoEConfig config = moe_config(fmt::format("{{balance: [{{kind: z, over: {}}}]}}", over));
    const auto loss = config.balance.items().front().make(BalanceLoss::Setup{4, kWidth});
    std::vector<double> sums(static_cast<size_t>(loss->num_sums()));
    loss->add_sums(ctx, sums, routing, targets);
    INFO(over);
    CHECK(loss->value(sums) == Approx(std::pow(std::log(experts), 2)).margin(1e-14));
    // 2 lse p for the members, over the number of tokens; 0 for the others.
    const LossGradients d = gradients_of(ctx, *loss, routing, targets, sums, 1);
    double total = 0;
    for (const double g : values(d.logits)) total += g;
    CHECK(total == Approx(2 * std::log(experts)).margin(1e-14));
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
      const std::map<std::string, double> known = {
          {"switch", 4},       {"sequence", 4}, {"gshard", 4},     {"importance", 3}, {"load", 3},
          {"kl", std::log(4)}, {"entropy", 0},  {"similarity", 0}, {"stable", 3},     {"entropy_global", std::log(4)},
          {"entropy_local", 0}};
      if (member.name != "z" && certainty > 20)
        CHECK(c.loss->value(c.sums) == Approx(known.at(member.name)).margin(1e-6));
      const LossGradients d = gradients_of(ctx, *c.loss, routing, targets, c.sums, 1);
      for (const ConstTensor& part : {ConstTensor(d.logits), ConstTensor(d.weights), ConstTensor(d.rows),
                                      ConstTensor(routing.noise.d_noisy), ConstTensor(routing.noise.d_deviation)}) {
        for (const double g : values(part)) CHECK(std::isfinite(g));
      }
    }
  }
}

TEST_CASE("every balance loss is 0 without tokens, and adds its gradient with its factor") {
  TestContext ctx(DType::f64);
  const Routing none = route(ctx, ctx.zeros({0, 3}), 2), some = route(ctx, ctx.normal({6, 3}, 1), 2);
  const Tensor targets = ctx.of_i32({6}, {1, 1, kIgnoreTarget, 1, 1, 1});
  for (const Member& member : family<BalanceLoss>()) {
    INFO(member.name);
    CHECK(make_case(ctx, member.name, none, targets.slice(0, 0))
              .loss->value(make_case(ctx, member.name, none, targets.slice(0, 0)).sums) == 0);
    const Case c = make_case(ctx, member.name, some, targets);
    const auto all = [&](double factor, double before) {
      const LossGradients d = gradients_of(ctx, *c.loss, some, targets, c.sums, factor, before);
      std::vector<double> joined;
      for (const ConstTensor& part : {ConstTensor(d.logits), ConstTensor(d.weights), ConstTensor(some.noise.d_noisy),
                                      ConstTensor(some.noise.d_deviation), ConstTensor(d.rows)}) {
        const auto more = values(part);
        joined.insert(joined.end(), more.begin(), more.end());
      }
      return joined;
    };
    const std::vector<double> once = all(1, 0), added = all(-2, 1);
    REQUIRE(once.size() == added.size());
    for (size_t i = 0; i < once.size(); ++i) CHECK(added[i] == Approx(1 - 2 * once[i]).margin(1e-13));
    // The third token is padding: rows 2 of logits and noise, slots 4 and 5 of weights.
    for (const size_t begin : {size_t{6}, size_t{18 + 12 + 6}, size_t{18 + 12 + 18 + 6}}) {
      for (size_t e = 0; e < 3; ++e) CHECK(once[begin + e] == 0);
    }
    CHECK(once[18 + 4] == 0);
    CHECK(once[18 + 5] == 0);
  }
}

TEST_CASE("a set of balance losses is summed with its coefficients over micro-batches") {
  TestContext ctx(DType::f64);
  const TokenBatch whole = make_batch(ctx, 3, 4);
  const Routing routing = route(ctx, ctx.normal({12, 5}, 1), 2);
  MoEConfig config;
  config.balance = ChoiceList<BalanceLoss>{};
  for (const Member& member : family<BalanceLoss>()) config.balance.append().select(member.name);
  LayerSums layer_sums;
  BalanceSet set(layer_sums, config.balance, {5, kWidth});
  const ExpertOutputs outputs = make_outputs(ctx, routing);
  std::vector<double> sums(layer_sums.size());
  layer_sums.bind(sums);
  set.observe(ctx, whole, routing);
  set.observe_outputs(ctx, whole, routing, outputs);
  double weighted = 0;
  for (size_t i = 0; i < set.size(); ++i) {
    INFO(set.name(i));
    const Case c = make_case(ctx, set.name(i), routing, whole.targets);
    if (set.name(i) != "sequence") CHECK(set.value(i) == Approx(c.loss->value(c.sums)));
    weighted += c.loss->coefficient().at(0) * set.value(i);
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
    for (Tensor* tensor : {&piece.noise.clean, &piece.noise.noisy, &piece.noise.deviation}) {
      *tensor = tensor->slice(begin * 4, sequences * 4);
    }
    set.observe(ctx, part, piece);
    set.observe_outputs(ctx, part, piece, {outputs.rows, outputs.position.slice(begin * 4, sequences * 4)});
  }
  for (size_t i = 0; i < sums.size(); ++i) CHECK(sums[i] == Approx(once[i]).epsilon(1e-13));
}

TEST_CASE("a set without coefficients or global losses does not need the whole step") {
  MoEConfig config;
  config.balance = ChoiceList<BalanceLoss>{};
  LayerSums sums;
  CHECK_FALSE(BalanceSet(sums, config.balance, {4}).needs_whole_step());
  CHECK(sums.size() == 0);
}

}  // namespace moe::test
