#include "data/curriculum/pacer.h"

#include <cmath>

#include "core/base/json_text.h"
#include "core/config/config_reader.h"
#include "tests/support/catch.h"

namespace moe {
namespace {

struct Config : Fields<Config> {
  Choice<Pacer> pacing{"none"};
  void fields(FieldVisitor& v) override { v.choice("pacing", pacing, ""); }
};

constexpr int64_t kUpdates = 1000;

std::unique_ptr<Pacer> pacer(const std::string& yaml) {
  Config config;
  read_config(parse_config("pacing: " + yaml, "test"), config);
  return config.pacing.make(Pacer::Setup{RunLength{kUpdates, 64, 100}});
}

}  // namespace

TEST_CASE("every pacer opens monotonically, and everything at the end") {
  for (const Member& member : family<Pacer>()) {
    INFO(member.name);
    const auto scheduled = pacer(member.name);
    double before = 0;
    for (int64_t update = 0; update < kUpdates; ++update) {
      const double open = scheduled->open(update);
      REQUIRE(open > 0);
      REQUIRE(open <= 1);
      REQUIRE(open >= before);
      before = open;
      scheduled->observe(update, 5.0);
    }
    CHECK(before == 1);
  }
}

TEST_CASE("pacers follow their formulas") {
  struct Row {
    const char* yaml;
    double at_0, at_100, at_250, at_499;
  };
  // Everything is open after 500 updates: progress 0, 0.2, 0.5 and almost 1.
  for (const Row& row : {Row{"none", 1, 1, 1, 1}, Row{"{kind: linear, start: 0.2}", 0.2, 0.36, 0.6, 0.9984},
                         Row{"{kind: root, start: 0.1}", 0.1, std::sqrt(0.208), std::sqrt(0.505), std::sqrt(0.99802)},
                         Row{"{kind: root, start: 0.1, power: 1}", 0.1, 0.28, 0.55, 0.9982},
                         Row{"{kind: geometric, start: 0.25}", 0.25, std::pow(0.25, 0.8), 0.5, std::pow(0.25, 0.002)},
                         Row{"{kind: step, start: 0.2, parts: 4}", 0.2, 0.2, 0.6, 0.8}}) {
    INFO(row.yaml);
    const auto scheduled = pacer(row.yaml);
    CHECK(scheduled->open(0) == Approx(row.at_0));
    CHECK(scheduled->open(100) == Approx(row.at_100));
    CHECK(scheduled->open(250) == Approx(row.at_250));
    CHECK(scheduled->open(499) == Approx(row.at_499));
    CHECK(scheduled->open(500) == 1);
    CHECK(scheduled->open(999) == 1);
  }
}

TEST_CASE("auto opens a part when its loss is learned, and at the latest at its scheduled time") {
  const char* yaml = "{kind: auto, start: 0.2, over: 100%, parts: 4, fraction: 0.3, horizon: 10}";
  const auto opening = [&](double learning_time) {  // the update at which the second part opens
    const auto scheduled = pacer(yaml);
    for (int64_t update = 0; update < kUpdates; ++update) {
      if (scheduled->open(update) > 0.2) return update;
      scheduled->observe(update, 2 + std::exp(-static_cast<double>(update) / learning_time));
    }
    return kUpdates;
  };
  // Averages of an exponential are sums of exponentials: slow - fast = 2/3 e^(-t/40) - e^(-t/20) + 1/3 e^(-t/10) has
  // fallen to 0.3 of its peak at t = 114.
  CHECK(opening(40) == Approx(114).margin(4));
  CHECK(opening(80) > opening(40));
  CHECK(opening(1e6) == 250);  // nearly no change of the rate, so only time opens the part

  // Its saved state is all that it needs.
  const auto whole = pacer(yaml), first = pacer(yaml), second = pacer(yaml);
  const auto loss = [](int64_t update) { return 2 + std::exp(-static_cast<double>(update % 90) / 20); };
  for (int64_t update = 0; update < 77; ++update) {
    whole->observe(update, loss(update));
    first->observe(update, loss(update));
  }
  second->restore(parse_json(json_text(first->state())));
  for (int64_t update = 77; update < kUpdates; ++update) {
    whole->observe(update, loss(update));
    second->observe(update, loss(update));
    REQUIRE(whole->open(update + 1) == second->open(update + 1));
  }
}

}  // namespace moe
