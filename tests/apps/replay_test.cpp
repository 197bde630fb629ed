// moe.router: replay, from the command line.
#include <filesystem>
#include <fstream>

#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "core/trace/step_trace.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

static const Arguments kShort{"train.steps=12", "checkpoint.keep_last=10", "trace.every=1"};

// The losses that a run recorded, of its updates or of its evaluations.
static std::vector<double> losses(const std::string& run, const std::string& type) {
  std::vector<double> result;
  std::ifstream file(run + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    const Json record = parse_json(line);
    if (record.at("type") == type) result.push_back(record.at("loss"));
  }
  return result;
}

static std::vector<std::vector<int32_t>> choices(const std::string& run) {
  std::vector<std::vector<int32_t>> result;
  for (const int64_t step : traced_steps(run, "training")) {
    for (const LayerTrace& layer : StepTraceFile(trace_path(run, "training", step)).all().layers)
      result.push_back(layer.chosen);
  }
  return result;
}

// The traced run, in `folder`/run.
static void train_source(const TemporaryFolder& folder, const Arguments& more = {}) {
  done(tiny_train(folder.path(), kShort + more));
}

static Arguments replaying(const TemporaryFolder& folder, const std::string& name, const Arguments& more = {},
                           const std::string& options = "") {
  return tiny_train(
      folder.path(),
      kShort + Arguments{"name=" + name, "moe.router={kind: replay, from: " + folder.path() + "/run" + options + "}"} +
          more);
}

TEST_CASE("a run that replays itself computes the same losses, with its own weights and with the recorded ones") {
  const TemporaryFolder folder;
  train_source(folder);
  const std::string source = folder / "run";
  REQUIRE(choices(source).size() == 24);
  const Finished own = done(replaying(folder, "own"));
  CHECK_THAT(own.out + own.err, Catch::Contains("evaluations choose by this run's own logits"));
  CHECK(choices(folder / "own") == choices(source));
  CHECK(losses(folder / "own", "train") == losses(source, "train"));
  CHECK(losses(folder / "own", "eval") == losses(source, "eval"));

  // The recorded weights are the own ones in the first update; then the router learns from the balance losses alone.
  done(replaying(folder, "recorded", {}, ", weights: recorded"));
  CHECK(choices(folder / "recorded") == choices(source));
  const auto recorded = losses(folder / "recorded", "train"), original = losses(source, "train");
  REQUIRE(recorded.size() == original.size());
  for (size_t i = 0; i < recorded.size(); ++i) CHECK(recorded[i] == Approx(original[i]).epsilon(1e-4));
}

TEST_CASE("a run with another seed replays the choices on the same samples") {
  const TemporaryFolder folder;
  train_source(folder);
  done(replaying(folder, "other", {"seed=2", "data.seed=1"}));
  CHECK(choices(folder / "other") == choices(folder / "run"));
  CHECK(losses(folder / "other", "train") != losses(folder / "run", "train"));
}

TEST_CASE("a replay on two ranks, and one that is resumed, make the choices of the traced run") {
  const TemporaryFolder folder;
  train_source(folder);
  const auto expected = choices(folder / "run");
  const auto original = losses(folder / "run", "train");
  const auto check_losses = [&](const std::string& name) {
    const auto found = losses(folder / name, "train");
    REQUIRE(found.size() == original.size());
    for (size_t i = 0; i < found.size(); ++i) CHECK(found[i] == Approx(original[i]).epsilon(1e-5));
  };
  for (const char* width : {"1", "2"}) {
    const std::string name = std::string("width") + width;
    done(mpirun(2) + replaying(folder, name, {std::string("parallel.expert=") + width, "train.micro_batches=2"}));
    CHECK(choices(folder / name) == expected);
    check_losses(name);
  }
  done(replaying(folder, "resumed"));
  for (const char* step : {"10", "12"})
    REQUIRE(std::filesystem::remove_all(folder / ("resumed/checkpoints/step_000000" + std::string(step))) > 0);
  done(replaying(folder, "resumed"));
  CHECK(choices(folder / "resumed") == expected);
  CHECK(losses(folder / "resumed", "train") == original);
}

TEST_CASE("a replay whose run does not fit is refused before training, by a dry run in the same words") {
  const TemporaryFolder folder;
  train_source(folder);
  const auto refused = [&](const Arguments& more, const std::string& words, const std::string& options = "") {
    const Arguments command = replaying(folder, "refused", more, options);
    const Finished dry = run_child(command + Arguments{"--dry-run"}), run = run_child(command);
    CHECK(dry.code == 2);
    CHECK(run.code == 2);
    CHECK_THAT(dry.err, Catch::Contains(words));
    CHECK_THAT(run.err, Catch::Contains(words));
  };
  CHECK(run_child(replaying(folder, "fits") + Arguments{"--dry-run"}).code == 0);
  refused({"train.steps=13"}, "has no trace of update 13 of this run's 13");
  refused({"train.batch=5"}, "set train.batch to that");
  refused({"data.sequence=8"}, "set data.sequence to that");
  refused({"seed=2"}, "set data.seed to that");
  refused({"data.synthetic.seed=2"}, "use the same data");
  refused({"moe.experts=5"}, "set moe.experts to that");
  refused({}, "set moe.router.k to that", ", k: 1, softmax: all, renormalise: false");
  refused({"model.layers=3"}, "has no choices of block 2");
  refused({"moe.strategy=hierarchical"}, "strategy hierarchical");
  refused({"init.reptile={rounds: 2, domains: 2}"}, "init.reptile");
  const Finished nothing =
      run_child(tiny_train(folder.path(), {"name=nothing", "moe.router=replay"}) + Arguments{"--dry-run"});
  CHECK(nothing.code == 2);
  CHECK_THAT(nothing.err, Catch::Contains("replay needs the folder of the run"));

  std::filesystem::remove(trace_path(folder / "run", "training", 7));
  refused({}, "has no trace of update 7");
  const TemporaryFolder part;
  train_source(part, {"trace.tokens=10"});
  const Finished partial = run_child(replaying(part, "partial") + Arguments{"--dry-run"});
  CHECK(partial.code == 2);
  CHECK_THAT(partial.err, Catch::Contains("trace.tokens: 0"));
}
