// The declared causality of routers and strategies equals what perturbing later tokens shows.
#include "core/base/integer.h"
#include "core/moe/causality_probe.h"
#include "tests/support/catch.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

namespace {

constexpr int64_t kSequences = 3, kTime = 6;

// Measures a layer with random inputs; a changed token gets another input and another id.
Causality found_causality(const MoEConfig& config, bool training) {
  LayerFixture f(config);
  f.ctx.training = training;
  TokenBatch batch = make_batch(f.ctx, kSequences, kTime);
  const int64_t tokens = batch.tokens();
  const Tensor before = f.ctx.normal({tokens, kModelWidth}, 1), other = f.ctx.normal(before.shape, 2),
               x = f.ctx.output(before.shape), ids = f.ctx.copy_of(batch.ids);
  batch.ids = ids;
  const std::vector<double> old_ids = values(ids);
  const auto outputs = [&](const std::vector<bool>& changed) {
    for (int64_t i = 0; i < x.size(); ++i) set(x, i, get(changed[as_index(i / kModelWidth)] ? other : before, i));
    for (int64_t t = 0; t < tokens; ++t) {
      const auto i = static_cast<size_t>(t);
      set(ids, t, changed[i] ? old_ids[i] + 5 : old_ids[i]);
    }
    return values(f.forward(batch, x));
  };
  return probe_causality(kSequences, kTime, outputs, 1e-13);
}

}  // namespace

TEST_CASE("every router is as causal as declared, at evaluation and in training") {
  for (const Member& router : family<Router>()) {
    for (const char* group : {"", "sequence", "position", "batch"}) {
      MoEConfig config;
      try {
        config = moe_config(fmt::format("{{experts: 5, balance: [], router: {{kind: {}{}{}}}}}", router.name,
                                        *group ? ", group: " : "", group));
      } catch (const UsageError&) {
        continue;  // a router without groups
      }
      INFO(router.name << ", group " << group);
      const LayerFixture f(config);
      CHECK(std::string(name_of(found_causality(config, false))) == name_of(f.layer->causality()));
      CHECK(std::string(name_of(found_causality(config, true))) == name_of(f.layer->training_causality()));
    }
  }
}

TEST_CASE("every strategy is as causal as declared, at evaluation") {
  for (const Member& strategy : family<Strategy>()) {
    INFO(strategy.name);
    MoEConfig config = moe_config("{experts: 5, balance: []}");
    config.strategy.select(strategy.name);
    CHECK(std::string(name_of(found_causality(config, false))) == name_of(LayerFixture(config).layer->causality()));
  }
}

TEST_CASE("every capacity is as causal as declared, at evaluation and in training") {
  for (const char* router : {"{k: 1, softmax: all, renormalise: false}", "{k: 2}"}) {
    for (const char* drop : {"position", "score"}) {
      for (const char* group : {"sequence", "position", "batch"}) {
        for (const double evaluation : {0.0, 0.5}) {
          const MoEConfig config = moe_config(fmt::format(
              "{{experts: 3, balance: [], router: {}, capacity: {{kind: fixed, factor: 0.5, drop: {}, group: "
              "{}, evaluation: {}}}}}",
              router, drop, group, evaluation));
          INFO(router << ", by " << drop << ", group " << group << ", at evaluation " << evaluation);
          const LayerFixture f(config);
          CHECK(std::string(name_of(found_causality(config, false))) == name_of(f.layer->causality()));
          CHECK(std::string(name_of(found_causality(config, true))) == name_of(f.layer->training_causality()));
        }
      }
    }
  }
}

TEST_CASE("the probe detects each kind of dependence") {
  // A token's output is its own input plus a part of another token's.
  const auto found = [](auto other_token) {
    return probe_causality(
        2, 5,
        [&](const std::vector<bool>& changed) {
          std::vector<double> out;
          for (size_t t = 0; t < changed.size(); ++t) {
            const size_t other = other_token(t);
            out.push_back((changed[t] ? 2 : 1) + (changed[other] ? 0.5 : 0.25));
          }
          return out;
        },
        1e-12);
  };
  CHECK(found([](size_t t) { return t; }) == Causality::causal);
  CHECK(found([](size_t t) { return t / 5 * 5; }) == Causality::causal);                 // the sequence's first
  CHECK(found([](size_t t) { return t / 5 * 5 + 4; }) == Causality::sequence);           // its last
  CHECK(found([](size_t t) { return (t + 5) % 10; }) == Causality::batch);               // the other sequence's
  CHECK(found([](size_t t) { return t % 5 == 0 ? t + 1 : t; }) == Causality::sequence);  // only for the first token
}

}  // namespace moe::test
