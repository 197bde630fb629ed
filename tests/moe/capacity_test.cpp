// Capacities in one layer: which assignments are dropped, how they are counted, and how stateful capacities choose
// factors.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/integer.h"
#include "tests/support/capacity_variants.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"
#include "tests/support/layer_fixture.h"

namespace moe::test {

namespace {

double total(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0);
}

std::optional<double> figure(const LayerFixture& f, const std::string& name) {
  std::optional<double> result;
  f.layer->for_each_measure([&](const std::string& n, std::optional<double> value) {
    if (n == name) result = value;
  });
  return result;
}

// A layer that has processed 3 sequences of 8 tokens.
struct Bounded {
  explicit Bounded(const std::string& capacity, const std::string& router = "{k: 2}", bool training = true)
      : f(moe_config(fmt::format("{{experts: 4, balance: [], router: {}, capacity: {}}}", router, capacity))),
        batch(make_batch(f.ctx, 3, 8)),
        x(f.ctx.normal({24, kModelWidth}, 1)) {
    f.ctx.training = training;
    pass();
  }
  void pass() { y = values(f.forward(batch, x)); }
  // Makes an update with this loss.
  void step(double loss = 1, double flops = 1, double seconds = 1) {
    pass();
    f.layer->after_step(f.ctx, {loss, flops, seconds});
  }
  double factor() {
    pass();
    return figure(f, "capacity").value();
  }

  LayerFixture f;
  TokenBatch batch;
  Tensor x;
  std::vector<double> y;
};

constexpr const char* kTop1 = "{k: 1, softmax: all, renormalise: false}";

}  // namespace

TEST_CASE("dropped tokens get no output, and are counted by layer and expert") {
  Bounded all("dropless", kTop1),
      some("{kind: fixed, factor: 0.5}", kTop1);  // ceil(0.5 * 8 / 4) = 1 token per sequence
  const LoadStats &load = some.f.layer->load(), &demand = all.f.layer->load();
  CHECK(std::equal(load.counts.begin(), load.counts.end(), demand.counts.begin()));  // the demand of the router
  CHECK(total(demand.dropped) == 0);
  int64_t empty = 0;
  for (size_t t = 0; t < 24; ++t) {
    bool zero = true, same = true;
    for (size_t i = t * kModelWidth; i < (t + 1) * kModelWidth; ++i) {
      zero = zero && some.y[i] == 0;
      same = same && some.y[i] == all.y[i];
    }
    CHECK(zero != same);  // either dropped or unchanged
    empty += zero;
  }
  CHECK(total(load.dropped) == static_cast<double>(empty));
  CHECK(empty >= 3 * (8 - 4));
  CHECK(load.dropped_share() == Approx(static_cast<double>(empty) / 24));
  CHECK(figure(some.f, "dropped") == load.dropped_share());
  CHECK(figure(some.f, "capacity") == 0.5);
  for (size_t e = 0; e < 4; ++e) CHECK(load.counts[e] - load.dropped[e] <= 3);  // one per sequence
  CHECK_FALSE(figure(all.f, "dropped").has_value());

  // A second pass does not count.
  const auto before = some.f.sums;
  some.f.ctx.observe = false;
  some.f.layer->forward(some.f.ctx, some.batch, some.x);
  CHECK(some.f.sums == before);
}

TEST_CASE("a group is a sequence unless configured otherwise") {
  // The whole batch as one group: ceil(0.5 * 24 / 4) = 3 for each expert, wherever they are.
  Bounded batch("{kind: fixed, factor: 0.5, group: batch}", kTop1), sequence("{kind: fixed, factor: 0.5}", kTop1);
  const LoadStats& load = batch.f.layer->load();
  for (size_t e = 0; e < 4; ++e) CHECK(load.dropped[e] == std::max(load.counts[e] - 3, 0.0));
  CHECK(total(load.dropped) < total(sequence.f.layer->load().dropped));
}

TEST_CASE("evaluation has a separate capacity, by default none") {
  const Bounded dropless("dropless"), trained("{kind: fixed, factor: 0.5}");
  CHECK(Bounded("{kind: fixed, factor: 0.5}", "{k: 2}", false).y == dropless.y);
  CHECK(Bounded("{kind: fixed, factor: 2, evaluation: 0.5}", "{k: 2}", false).y == trained.y);
  CHECK(Bounded("{kind: fixed, factor: 4}").y == dropless.y);
  CHECK(trained.y != dropless.y);
  CHECK(Bounded("{kind: fixed, factor: 0.5, drop: score}").y != trained.y);
  CHECK(Bounded("{kind: fixed, factor: 0.5, renormalise: true}").y != trained.y);
}

TEST_CASE("a capacity uses the k of the update") {
  const std::string scheduled = "{k: {kind: linear, from: 4, to: 1, over: 50}, softmax: all, renormalise: false}";
  Bounded b("{kind: fixed, factor: 1}", scheduled);
  for (const auto& [update, places] : {std::pair{0, 8}, {50, 2}, {99, 2}}) {
    b.f.ctx.step = static_cast<uint64_t>(update);
    b.pass();
    const LoadStats& load = b.f.layer->load();
    for (size_t e = 0; e < 4; ++e) CHECK(load.counts[e] - load.dropped[e] <= 3 * places);
    CHECK((total(load.dropped) == 0) == (update == 0));
  }
}

TEST_CASE("losses of tokens with dropped assignments are measured separately") {
  Bounded b("{kind: fixed, factor: 0.5}", kTop1);
  const Tensor losses = b.f.ctx.output({24});
  double lost = 0, kept = 0, lost_tokens = 0;
  for (int64_t t = 0; t < 24; ++t) {
    set(losses, t, 1 + static_cast<double>(t));
    const bool dropped = b.y[as_index(t * kModelWidth)] == 0;
    (dropped ? lost : kept) += 1 + static_cast<double>(t);
    lost_tokens += dropped;
  }
  b.f.layer->observe_losses(b.f.ctx, losses, b.batch.targets);
  CHECK(figure(b.f, "tokens_dropped").value() == Approx(lost_tokens / 24));
  CHECK(figure(b.f, "loss_dropped").value() == Approx(lost / lost_tokens));
  CHECK(figure(b.f, "loss_kept").value() == Approx(kept / (24 - lost_tokens)));
}

TEST_CASE("every capacity drops, stays within its bound and saves its whole state") {
  for (const Member& member : family<Capacity>()) {
    INFO(member.name);
    const std::string& yaml = capacity_variants().at(member.name);
    Bounded one(yaml), other(yaml);
    CHECK((total(one.f.layer->load().dropped) > 0) == (member.name != "dropless"));
    if (member.name == "dropless") continue;
    const auto loss = [](int update) { return 3 - std::sin(update) / 3 - 0.01 * update; };
    for (int update = 0; update < 12; ++update) one.step(loss(update));
    const std::span<const double> from = one.f.layer->capacity_state();
    const std::span<double> to = other.f.layer->capacity_state();
    REQUIRE(from.size() == to.size());
    std::copy(from.begin(), from.end(), to.begin());
    for (int update = 12; update < 40; ++update) {
      CHECK(one.factor() == other.factor());
      CHECK(one.factor() > 0);
      CHECK(one.factor() <= 0.8);
      one.step(loss(update));
      other.step(loss(update));
    }
  }
}

TEST_CASE("capacity needed keeps drops under its target with the smallest possible factor") {
  Bounded b("{kind: needed, dropped: 0.1, limit: 4}");
  CHECK(b.factor() == 4);
  CHECK(total(b.f.layer->load().dropped) == 0);
  b.step();
  const double found = b.factor();
  CHECK(found < 4);
  CHECK(b.f.layer->load().dropped_share() <= 0.1);
  Bounded less(fmt::format("{{kind: fixed, factor: {}}}", found - 4.0 / 64));
  CHECK(less.f.layer->load().dropped_share() > 0.1);
  // When tokens become alike, a larger factor is needed; it grows slowly, because it is a moving average.
  for (int64_t i = kModelWidth; i < b.x.size(); ++i) set(b.x, i, get(b.x, i % kModelWidth));
  for (int update = 0; update < 60; ++update) b.step();
  CHECK(b.factor() > found);
  CHECK(b.f.layer->load().dropped_share() <= 0.1);
}

TEST_CASE("capacity complexity moves between its limits with the difficulty") {
  const double ignorance = std::log(20);  // the maximum loss for the fixture's vocabulary
  Bounded by_loss("{kind: complexity, by: loss, smallest: 1, largest: 3, decay: 0}");
  CHECK(by_loss.factor() == 3);
  by_loss.step(ignorance / 4);
  CHECK(by_loss.factor() == Approx(1.5));
  by_loss.step(2 * ignorance);
  CHECK(by_loss.factor() == 3);
  by_loss.step(0);
  CHECK(by_loss.factor() == 1);

  Bounded by_entropy("{kind: complexity, smallest: 1, largest: 3}");
  by_entropy.step();
  const double entropy = by_entropy.f.layer->load().mean_entropy() / std::log(4);
  REQUIRE(entropy < 0.99);
  CHECK(by_entropy.factor() == Approx(1 + 2 * entropy));

  Bounded slow("{kind: complexity, by: loss, smallest: 1, largest: 3, decay: 0.75}");
  slow.step(0);
  slow.step(ignorance);
  CHECK(slow.factor() == Approx(1 + 2 * 0.25 / (1 - 0.75 * 0.75)));
}

TEST_CASE("a bandit learns to prefer the factor with which the loss decreases fastest") {
  for (const char* per : {"flops", "seconds"}) {
    for (const double discount : {1.0, 0.95}) {
      for (const int best : {0, 2, 3}) {
        INFO("per " << per << ", discount " << discount << ", best " << best);
        Bounded b(
            fmt::format("{{kind: bandit, smallest: 0.5, largest: 2, arms: 4, hold: 2, per: {}, discount: {}, "
                        "exploration: 0.5}}",
                        per, discount));
        CHECK(b.factor() == 2);  // it starts with the largest
        double loss = 100;
        int chosen = 0;
        for (int update = 0; update < 400; ++update) {
          const int arm = static_cast<int>(std::lround((b.factor() - 0.5) / 0.5));
          // All factors give the same progress; the best one at half the cost.
          loss -= 0.01;
          const double cost = arm == best ? 1 : 2;
          const bool flops = std::string(per) == "flops";
          b.step(loss, flops ? cost : 1, flops ? 1 : cost);
          chosen += update >= 200 && arm == best;
        }
        CHECK(chosen > 100);  // out of 200
      }
    }
  }
}

TEST_CASE("invalid capacities are refused with the reason") {
  const auto layer = [](const std::string& yaml) { LayerFixture{moe_config(yaml)}; };
  for (const char* factor : {"0", "-1", "{kind: linear, from: 2, to: 0, over: 50%}"}) {
    CHECK_THROWS_WITH(layer(fmt::format("{{experts: 4, capacity: {{kind: fixed, factor: {}}}}}", factor)),
                      Catch::Contains("capacity.factor"));
  }
  CHECK_THROWS_WITH(layer("{experts: 4, capacity: {kind: fixed, evaluation: -1}}"), Catch::Contains("evaluation"));
  CHECK_THROWS_WITH(layer("{experts: 4, capacity: {kind: fixed, drop: random}}"), Catch::Contains("position"));
  CHECK_THROWS_WITH(layer("{experts: 4, capacity: {kind: dropless, factor: 1}}"), Catch::Contains("factor"));
  CHECK_THROWS_WITH(layer("{experts: 4, capacity: {kind: bandit, smallest: 2}}"), Catch::Contains("smallest"));
  CHECK_THROWS_WITH(layer("{experts: 4, capacity: {kind: complexity, smallest: 3}}"), Catch::Contains("smallest"));
  CHECK_THROWS_WITH(layer("{experts: 4, capacity: 1.5, router: expert_choice}"),
                    Catch::Contains("expert_choice") && Catch::Contains("capacity"));
  CHECK_THROWS_WITH(layer("{experts: 4, capacity: 1.5, router: expert_choice, strategy: hierarchical}"),
                    Catch::Contains("capacity"));
  layer("{experts: 4, router: expert_choice}");
}

TEST_CASE("a number is a fixed factor") {
  const MoEConfig config = moe_config("{experts: 4, capacity: 1.5}");
  CHECK(config.capacity.kind() == "fixed");
  CHECK(Bounded("0.5").y == Bounded("{kind: fixed, factor: 0.5}").y);
}

}  // namespace moe::test
