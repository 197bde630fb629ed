// moe.lifecycle and init.from through the programs: runs whose experts change, resumed, split among ranks and
// inspected.
#include <cmath>
#include <filesystem>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

// Grows 4 -> 8 at step 10, prunes 3 at step 20, merges 1 at step 25.
static const Arguments kLifecycle = {
    "moe.lifecycle=[{kind: grow, at: [10], scale_k: true, noise: 0.01}, {kind: restart, below: 0.3, for: 3}, {kind: "
    "prune, "
    "at: [20], count: 3}, {kind: merge, at: [25]}]"};

static std::vector<Json> lifecycle_records(const std::string& run) {
  std::vector<Json> records;
  for (const Json& record : comparable_metrics(run)) {
    if (record.at("type") == "lifecycle") records.push_back(record);
  }
  return records;
}

TEST_CASE("a resumed run whose experts change is bitwise equal to an uninterrupted one", "[slow]") {
  TemporaryFolder straight, broken;
  done(tiny_train(straight.path(), kLifecycle));
  // The checkpoint of step 20 is written before the event of that step.
  done(tiny_train(broken.path(), kLifecycle + Arguments{"train.steps=15"}));
  done(tiny_train(broken.path(), kLifecycle + Arguments{"train.steps=20"}));
  done(tiny_train(broken.path(), kLifecycle) + Arguments{"--resume", "must"});
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
  std::vector<std::pair<int, std::string>> events;
  for (const Json& record : lifecycle_records(broken / "run")) {
    if (record.at("layer") == 0 && record.at("kind") != "restart")
      events.emplace_back(record.at("step").get<int>(), record.at("kind").get<std::string>());
    CHECK(record.at("loss_before").is_number());
    CHECK(record.at("loss_after").is_number());
  }
  CHECK(events == std::vector<std::pair<int, std::string>>{{10, "grow"}, {20, "prune"}, {25, "merge"}});
  CHECK(load_run_state(last_checkpoint(broken.path())).experts.at("number") == 4);
}

TEST_CASE("several ranks change the experts like one", "[slow]") {
  TemporaryFolder one;
  done(tiny_train(one.path(), kLifecycle));
  for (const int ranks : {2, 3}) {
    INFO(ranks << " ranks");
    TemporaryFolder shared;
    done(mpirun(ranks) + tiny_train(shared.path(), kLifecycle));
    const auto expected = lifecycle_records(one / "run"), found = lifecycle_records(shared / "run");
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      for (const char* key : {"step", "kind", "layer", "experts_after", "gone"})
        CHECK(found[i][key] == expected[i][key]);
      CHECK(found[i]["loss_after"].get<double>() == Approx(expected[i]["loss_after"].get<double>()).epsilon(1e-4));
    }
    const double loss = comparable_metrics(one / "run").back().at("loss");
    CHECK(comparable_metrics(shared / "run").back().at("loss").get<double>() == Approx(loss).epsilon(1e-3));
    // One rank resumes what several have written.
    done(tiny_train(shared.path(), kLifecycle + Arguments{"train.steps=32"}));
  }
}

TEST_CASE("growing all experts and k preserves the function, and the reports say so", "[slow]") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), {"moe.lifecycle=[{kind: grow, at: [10], scale_k: true}]"}));
  const auto records = lifecycle_records(folder / "run");
  REQUIRE(records.size() == 2);
  for (const Json& record : records) {
    CHECK(record.at("preserved") == true);
    CHECK(record.at("loss_after").get<double>() == Approx(record.at("loss_before").get<double>()).epsilon(1e-6));
    CHECK(record.at("experts_after") == 8);
  }
  const Finished text = done(program("moe-inspect") + Arguments{folder / "run"});
  CHECK_THAT(text.out, Catch::Contains("of 8 experts, 4 per token"));
  CHECK_THAT(text.out, Catch::Contains("lifecycle of the experts"));
  CHECK_THAT(text.out, Catch::Contains("preserved"));
  const std::string page = read_file(folder / "run/report.html");
  CHECK_THAT(page, Catch::Contains("Lifecycle of the experts"));
  CHECK_THAT(page, Catch::Contains("grow at step 10"));
  const Finished json = done(program("moe-inspect") + Arguments{folder / "run", "--json"});
  CHECK(parse_json(json.out).at("lifecycle").size() == 2);
  // The checkpoint of the event's step still has the experts from before the event.
  const Finished before = done(program("moe-eval") + Arguments{folder / "run", "--split", "validation"});
  CHECK(std::stod(before.out) > 0);
}

TEST_CASE("an upcycled model starts at the loss of the dense one", "[slow]") {
  TemporaryFolder dense, upcycled;
  const Arguments tiny{"model.d_ff=16", "evaluate.tokens=0"};
  done(tiny_train(dense.path(), tiny + Arguments{"model.arrangement=dense"}));
  const double loss = comparable_metrics(dense / "run").back().at("loss");
  struct Case {
    const char* settings;
    bool exact;
  };
  for (const Case& c : {Case{"moe.router=topk", true}, Case{"moe.router=gshard", true}, Case{"moe.router=hash", true},
                        Case{"moe.router=sigmoid_bias", true}, Case{"moe.shared_experts=1", true},
                        Case{"moe={shared_experts: 1, shared_gate: true}", true}, Case{"model.arrangement=glam", true},
                        Case{"moe.strategy=stochastic", true}, Case{"moe.router=switch", false},
                        Case{"init.noise=3", false}, Case{"init.reinitialise=0.5", false}}) {
    INFO(c.settings);
    TemporaryFolder folder;
    const Finished run =
        done(tiny_train(folder.path(), tiny + Arguments{"init.from=" + (dense / "run"), "train.steps=1", c.settings}));
    CHECK_THAT(run.err, Catch::Contains("dense feed-forward layers"));
    const Json first = comparable_metrics(folder / "run").front();
    REQUIRE(first.at("step") == 0);
    if (c.exact) {
      CHECK(first.at("loss").get<double>() == Approx(loss).epsilon(1e-6));
    } else {
      CHECK(std::abs(first.at("loss").get<double>() - loss) > 1e-4);
    }
  }
  // The same with biases, which experts have as well.
  TemporaryFolder biased, experts;
  const Arguments with_biases =
      tiny + Arguments{"model.bias=true", "train.learning_rate={kind: constant, value: 0.03}"};
  done(tiny_train(biased.path(), with_biases + Arguments{"model.arrangement=dense"}));
  const Finished run =
      done(tiny_train(experts.path(), with_biases + Arguments{"init.from=" + (biased / "run"), "train.steps=1",
                                                              "moe.shared_experts=1"}));
  CHECK_THAT(run.err, !Catch::Contains("different from init.from"));
  CHECK(comparable_metrics(experts / "run").front().at("loss").get<double>() ==
        Approx(comparable_metrics(biased / "run").back().at("loss").get<double>()).epsilon(1e-6));
  // A plain warm start on another number of ranks.
  TemporaryFolder warm;
  done(mpirun(2) +
       tiny_train(warm.path(), tiny + Arguments{"init.from=" + (dense / "run"), "model.arrangement=dense"}));
  CHECK(comparable_metrics(warm / "run").front().at("loss").get<double>() == Approx(loss).epsilon(1e-6));
}

TEST_CASE("a warm start reports differences that no shape shows", "[slow]") {
  TemporaryFolder dense, other;
  done(
      tiny_train(dense.path(), {"model.d_ff=16", "model.arrangement=dense", "train.steps=1", "model.activation=relu"}));
  const Finished run = done(tiny_train(other.path(), {"model.d_ff=16", "train.steps=1", "init.from=" + (dense / "run"),
                                                      "model.activation=gelu_tanh", "model.attention.rope_theta=500"}));
  CHECK_THAT(
      run.err,
      Catch::Contains(
          "model.activation gelu_tanh (in init.from relu), model.attention.rope_theta 500 (in init.from 10000)"));
}

TEST_CASE("a warm start refuses a checkpoint of another shape", "[slow]") {
  TemporaryFolder dense, other;
  done(tiny_train(dense.path(), {"model.d_ff=16", "model.arrangement=dense", "train.steps=1"}));
  const auto refused = [&](const std::string& setting, const std::string& why) {
    INFO(setting);
    const Finished run = run_child(
        tiny_train(other.path(), {"model.d_ff=16", "train.steps=1", "init.from=" + (dense / "run"), setting}));
    CHECK(run.code == 4);
    CHECK_THAT(run.err, Catch::Contains(why));
  };
  refused("moe.d_ff=24", "moe.d_ff must equal");
  refused("model.layers=3", "its model is different");
  refused("model.layers=1", "no place");
  refused("model.d_model=32", "the model expects");
  refused("init.checkpoint=77", "no checkpoint of step 77");
}
