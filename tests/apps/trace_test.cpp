#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "core/trace/step_trace.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

static StepTrace trace_of(const std::string& run, const std::string& of, int64_t step) {
  return StepTraceFile(trace_path(run, of, step)).all();
}

static int64_t lines_of(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}

TEST_CASE("moe-train traces the routing of every n-th update, the same on any ranks") {
  const TemporaryFolder folder;
  const Arguments traced{"trace.every=4", "trace.logits=true", "train.steps=10"};
  done(tiny_train(folder.path(), traced));
  const std::string run = folder / "run";
  CHECK(traced_steps(run, "training") == std::vector<int64_t>{4, 8});
  const StepTrace trace = trace_of(run, "training", 8);
  CHECK(trace.tokens() == 4 * 16);
  CHECK(trace.facts.is_complete);
  CHECK(trace.facts.seed == 1);
  REQUIRE(trace.layers.size() == 2);
  CHECK(trace.layers[0].logits.size() == 4 * 16 * 4);
  for (int64_t t = 0; t + 1 < 16; ++t) {  // a window of the text
    CHECK(trace.next[static_cast<size_t>(t)] == trace.ids[static_cast<size_t>(t) + 1]);
    CHECK(trace.offsets[static_cast<size_t>(t)] + 1 == trace.offsets[static_cast<size_t>(t) + 1]);
    CHECK(trace.layers[1].weight(t, 0) + trace.layers[1].weight(t, 1) == Approx(1));
  }
  // The first update's forward pass has the same bits in any layout.
  const auto first_step = [&](const std::string& name, const Arguments& launcher, const Arguments& more) {
    done(launcher + tiny_train(folder.path(), Arguments{"name=" + name, "trace.every=1", "train.steps=1"} + more));
    return read_text(trace_path(folder / name, "training", 1));
  };
  const std::string alone = first_step("alone", {}, {});
  CHECK(first_step("parts", {}, {"train.micro_batches=2"}) == alone);
  CHECK(first_step("two", mpirun(2), {}) == alone);
  CHECK(first_step("data", mpirun(2), {"parallel.expert=1"}) == alone);
}

TEST_CASE("a run that goes on makes the traces after its checkpoint again, and removes those that it would not make") {
  const TemporaryFolder folder;
  const auto train = [&](const Arguments& more) {
    done(tiny_train(folder.path(), Arguments{"train.steps=20", "checkpoint.keep_last=10"} + more));
  };
  const std::string run = folder / "run";
  train({"trace.every=5"});
  const std::string last = read_text(trace_path(run, "training", 20));
  for (const char* step : {"/checkpoints/step_00000015", "/checkpoints/step_00000020"}) {
    REQUIRE(std::filesystem::remove_all(run + step) > 0);
  }
  train({"trace.every=10"});  // trace may differ when a run goes on
  CHECK(traced_steps(run, "training") == std::vector<int64_t>{5, 10, 20});
  CHECK(read_text(trace_path(run, "training", 20)) == last);
}

TEST_CASE("trace.of: validation traces the same text at every evaluation") {
  const TemporaryFolder folder;
  done(mpirun(2) +
       tiny_train(folder.path(), {"trace.every=1", "trace.of=validation", "trace.tokens=100", "train.steps=10"}));
  const std::string run = folder / "run";
  CHECK(traced_steps(run, "training").empty());
  CHECK(traced_steps(run, "validation") == std::vector<int64_t>{0, 5, 10});
  const StepTrace before = trace_of(run, "validation", 0), after = trace_of(run, "validation", 10);
  REQUIRE(before.tokens() == 100);
  CHECK(before.ids == after.ids);
  CHECK(before.offsets == after.offsets);
  for (size_t t = 0; t < 100; ++t) CHECK(before.offsets[t] == static_cast<int64_t>(t));
  CHECK(before.layers[0].weights != after.layers[0].weights);
}

TEST_CASE("moe-inspect trace shows tokens, ids and positions, and writes them as comma-separated values") {
  const TemporaryFolder folder;
  done(tiny_train(folder.path(), {"trace.every=5", "train.steps=10", "moe.capacity={kind: fixed, factor: 0.7}"}));
  const std::string run = folder / "run";
  const auto inspect = [&](const Arguments& more) {
    return done(program("moe-inspect") + Arguments{"trace", run} + more).out;
  };
  const std::string tokens = inspect({"--rows", "7"});
  CHECK_THAT(tokens, Catch::Contains("step 10, training: 64 tokens of 4 samples of up to 16"));
  CHECK_THAT(tokens, Catch::Contains("marks a choice that the capacity dropped"));
  CHECK_THAT(tokens, Catch::Contains("... and 57 tokens more"));
  CHECK(lines_of(tokens) == 2 + 1 + 7 + 1);
  CHECK_THAT(inspect({"--step", "5"}), Catch::Contains("step 5, training"));
  const std::string ids = inspect({"--by", "id", "--layer", "1"});
  CHECK_THAT(ids, Catch::Contains("block 1") && !Catch::Contains("block 0"));
  CHECK(lines_of(inspect({"--by", "position"})) == 1 + 2 * (2 + 16));

  const std::string csv = folder / "trace.csv";
  inspect({"--csv", csv});
  CHECK(lines_of(read_text(csv)) == 1 + 64 * 2 * 2);  // tokens, blocks, choices
  inspect({"--by", "position", "--csv", csv});
  CHECK(lines_of(read_text(csv)) == 1 + 2 * 16 * 4);  // blocks, positions, experts

  const auto refused = [&](const Arguments& more, int code, const std::string& words) {
    const Finished result = run_child(program("moe-inspect") + Arguments{"trace"} + more);
    CHECK(result.code == code);
    CHECK_THAT(result.err, Catch::Contains(words));
  };
  refused({run, "--layer", "7"}, 2, "its MoE blocks are 0, 1");
  refused({run, "--step", "7"}, 3, "no trace of step 7; there are 2 of the steps 5 to 10");
  refused({run, "--of", "validation"}, 3, "trace.of: validation");
  refused({folder.path()}, 3, "trace.every");
}

TEST_CASE("a dry run prints the size of traces, and what cannot be traced is refused") {
  const TemporaryFolder folder;
  const auto dry = [&](const Arguments& more) {
    return run_child(tiny_train(folder.path(), more) + Arguments{"--dry-run"});
  };
  CHECK_THAT(dry({"trace.every=10"}).out, Catch::Contains("3 of updates, at most 3.0 KiB each"));
  CHECK_THAT(dry({"trace.every=1", "trace.of=validation", "trace.tokens=64"}).out,
             Catch::Contains("7 of evaluations, at most 3.0 KiB each"));
  CHECK_THAT(dry({}).out, !Catch::Contains("routing traces"));
  const Finished dense = dry({"trace.every=1", "model.arrangement=dense"});
  CHECK(dense.code == 2);
  CHECK_THAT(dense.err, Catch::Contains("no block is MoE"));
}

TEST_CASE("a plan takes the loads of a run's traces") {
  const TemporaryFolder folder;
  done(tiny_train(folder.path(), {"train.steps=6", "trace.every=2"}));
  const Arguments plan =
      tiny_train(folder.path(), {"name=planned"}) +
      Arguments{"--dry-run", "--ranks", "16", "--hosts", "2", "--network", MOE_CONFIGS "/networks/h100.yaml"};
  CHECK_THAT(done(plan + Arguments{"--routing-trace", folder / "run"}).out,
             Catch::Contains("mean of 3 recorded steps' loads"));
  const Finished none = run_child(plan + Arguments{"--routing-trace", folder.path()});
  CHECK(none.code == 3);
  CHECK_THAT(none.err, Catch::Contains("has no traces of training"));
}

TEST_CASE("moe-inspect reports specialisation, similarity and saturation, the same on any ranks") {
  const TemporaryFolder folder;
  done(tiny_train(folder.path(), {"trace.every=1", "trace.of=validation", "trace.tokens=200", "data.sequence=64"}));
  const auto inspected = [&](const Arguments& launcher) {
    return parse_json(done(launcher + program("moe-inspect") + Arguments{folder / "run", "--json", "--no-html"}).out);
  };
  const Json alone = inspected({}), one = alone.at("specialisation"), two = inspected(mpirun(2)).at("specialisation");
  CHECK(one.at("tokens") == 1999);
  REQUIRE(one.at("layers").size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    const Json &a = one.at("layers")[i], &b = two.at("layers")[i];
    for (const char* name : {"input", "next", "position", "coactivation", "margin", "gate", "similarity"}) {
      INFO(name);
      for (const char* what : {"value", "chance"}) {
        const double value = a.at(name).at(what);
        CHECK(value == Approx(b.at(name).at(what).get<double>()).epsilon(1e-4).margin(1e-6));
        CHECK(std::abs(value) <= 1 + 1e-9);
      }
    }
    CHECK(a.at("source").at("value").is_null());
    CHECK(a.at("coactivations").size() == 4);
    CHECK(a.at("similarities")[0][0] == 1.0);
    // A trained router does better than chance.
    CHECK(a.at("input").at("value").get<double>() > a.at("input").at("chance").get<double>());
    CHECK(a.at("margin").at("value").get<double>() > a.at("margin").at("chance").get<double>());
  }
  const Json& saturation = one.at("saturation");
  REQUIRE(saturation.size() == 7);
  CHECK(saturation[6].at("layers")[0].at("value") == 1.0);
  CHECK(saturation[0].at("layers")[0].at("value").get<double>() < 1);
  CHECK(alone.at("max_violation").at("max").get<double>() >= alone.at("max_violation").at("mean").get<double>());
  const double share = alone.at("layers")[0].at("effective_share");
  CHECK(share > 0.25);
  CHECK(share <= 1);
  const Finished text = done(program("moe-inspect") + Arguments{folder / "run"});
  CHECK_THAT(text.out, Catch::Contains("specialisation on 1999 tokens") && Catch::Contains("router saturation"));
  const std::string page = read_text(folder / "run/report.html");
  CHECK_THAT(page, Catch::Contains("Specialisation") && Catch::Contains("Router saturation") &&
                       Catch::Contains("Effective share of the experts"));
}
