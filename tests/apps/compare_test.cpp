// scripts/compare and moe-inspect compare, started as a user starts them.
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/study_place.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

// A moe-train that, when it is started for the `count`th time, first signals the script that started it.
static std::string interrupting_programs(const StudyPlace& place, int count) {
  return place.programs("echo >>\"$0.calls\"\n[ $(wc -l <\"$0.calls\") -ne " + std::to_string(count) +
                        " ] || { kill -TERM $PPID; exit 143; }");
}

TEST_CASE("scripts/compare is interrupted, resumes, and adds seeds and configurations") {
  const StudyPlace place;
  const Arguments first = place.compare("1 2", {"one.yaml", "same.yaml"});
  const Finished broken = run_child(first, with_programs(interrupting_programs(place, 3)));
  INFO(broken.err);
  CHECK(broken.code == 143);
  CHECK_THAT(broken.err, Catch::Contains("interrupted in same-seed2"));  // seed 2 starts with the other configuration
  CHECK(fs::exists(place.run("same-seed1/manifest.json")));
  CHECK_FALSE(fs::exists(place.run("same-seed2")));
  CHECK_FALSE(fs::exists(place.runs() + "/compare.json"));

  const std::string manifest = read_file(place.run("one-seed1/manifest.json"));
  const std::string metrics = read_file(place.run("one-seed1/metrics.jsonl"));
  const Finished whole = run_child(first, with_programs());
  INFO(whole.err);
  REQUIRE(whole.code == 0);
  CHECK(read_file(place.run("one-seed1/manifest.json")) == manifest);  // it was finished before and is unchanged
  CHECK(read_file(place.run("one-seed1/metrics.jsonl")) == metrics);
  // Seeds are really paired: configurations that compute the same give identical bits.
  Json result = place.result();
  CHECK(result["baseline"] == "one");
  CHECK(result["configs"][1]["differences"] == Json{0.0, 0.0});
  CHECK(result["configs"][0]["bpc_sd"].get<double>() > 0.0);  // while seeds differ
  CHECK_THAT(whole.out, Catch::Contains("[+0.0000, +0.0000]"));
  CHECK_THAT(read_file(place.runs() + "/compare.html"), Catch::Contains("</html>"));

  const Finished more = run_child(place.compare("3", {"other.yaml", "one.yaml"}), with_programs());
  INFO(more.err);
  REQUIRE(more.code == 0);
  result = place.result();
  CHECK(result["runs"].size() == 6);
  CHECK(result["baseline"] == "one");  // the first configuration used in the folder
  CHECK(result["configs"][2]["name"] == "other");
  CHECK(result["configs"][2]["paired_seeds"] == Json{3});
  CHECK_THAT(more.out, Catch::Contains("other and one do not share the seeds 1 2"));
  CHECK_THAT(more.out, Catch::Contains("other: moe.router.k.value: 2 -> 3"));
}

TEST_CASE(
    "a signal to scripts/compare ends the training with a checkpoint; a continuation with another length is unfair") {
  struct Case {
    const char* ranks;
    int signal;
    bool to_group;  // like Ctrl-C in a terminal
  };
  const Case example = GENERATE(Case{"1", SIGTERM, false}, Case{"1", SIGINT, true}, Case{"2", SIGINT, true});
  const StudyPlace place;
  ChildProcess child(place.compare("1", {"one.yaml", "other.yaml"}, {"-n", example.ranks, "--set", "train.steps=1M"}),
                     with_programs());
  REQUIRE(child.wait_for("step     20/"));
  kill(example.to_group ? -child.pid() : child.pid(), example.signal);
  const Finished broken = child.wait();
  INFO(broken.err);
  CHECK(broken.code == 128 + example.signal);
  const int64_t step = CheckpointFolder(place.run("one-seed1/checkpoints")).last().value_or(0);
  REQUIRE(step >= 20);

  const std::string steps = "train.steps=" + std::to_string(step + 5);
  const Finished whole =
      run_child(place.compare("1", {"one.yaml", "other.yaml"}, {"--set", steps, "--set", "train.extend=stretch"}),
                with_programs());
  INFO(whole.err << whole.out);
  CHECK(whole.code == 4);
  CHECK_THAT(whole.out, Catch::Contains("UNFAIR, left out: one-seed1: its length was changed during training"));
  CHECK_THAT(whole.err, Catch::Contains("the comparison would be unfair for 1 run, which was left out: one-seed1"));
}

TEST_CASE("scripts/compare makes perturbed copies of the baseline, which are no runs of their own") {
  const StudyPlace place;
  const Finished made =
      run_child(place.compare("1 2", {"one.yaml", "other.yaml"}) + Arguments{"--noise", "2"}, with_programs());
  INFO(made.err);
  REQUIRE(made.code == 0);
  const Json result = place.result();
  CHECK(result["configs"].size() == 2);
  CHECK(result["runs"].size() == 6);
  CHECK(result["noise"]["config"] == "one");
  CHECK(result["noise"]["copies"].size() == 2);
  CHECK(result["noise"]["copies"][0] != result["noise"]["copies"][1]);
  CHECK_THAT(made.out, Catch::Contains("2 copies of one with seed 1"));
}

TEST_CASE("scripts/compare continues after a run that fails") {
  const StudyPlace place;
  place.write("broken.yaml", "moe: {alarm: {share: 0.01, updates: 1, action: stop}}\n");
  const Finished result = run_child(place.compare("1 2", {"one.yaml", "broken.yaml", "other.yaml"}), with_programs());
  INFO(result.err);
  CHECK(result.code == 1);
  CHECK_THAT(result.err, Catch::Contains("2 of 6 runs failed"));
  CHECK_THAT(result.err,
             Catch::Contains("broken-seed1 (exit code 7)") && Catch::Contains("broken-seed2 (exit code 7)"));
  CHECK_THAT(result.out, Catch::Contains("2 configurations, 4 runs"));
}

TEST_CASE("scripts/compare reports mistakes before it trains") {
  const StudyPlace place;
  place.write("bad.yaml", "moe: {expertss: 3}\n");
  place.write("out_of_range.yaml", "optimizer: {weight_decay: 200}\n");
  place.write("from_nothing.yaml", "init: {from: not/there}\n");
  fs::create_directories(place / "elsewhere");
  place.write("elsewhere/one.yaml", "");
  const Finished absent = run_child(place.compare("1", {"one.yaml", "from_nothing.yaml"}), with_programs());
  CHECK(absent.code == 4);  // the exit code of training
  CHECK_THAT(absent.err, Catch::Contains("not/there"));
  CHECK_FALSE(fs::exists(place.runs()));
  for (const auto& [arguments, words] : std::vector<std::pair<Arguments, std::string>>{
           {place.compare("1", {"one.yaml", "bad.yaml"}), "expertss"},
           {place.compare("1", {"one.yaml", "out_of_range.yaml"}), "optimizer.weight_decay"},
           {place.compare("1", {"one.yaml", "elsewhere/one.yaml"}), "the same name"},
           {place.compare("1", {}), "nothing to compare"},
           {place.compare("x", {"one.yaml"}), "x is not a whole number"},
           {place.compare("1", {"one.yaml"}, {"-n", "0"}), "ranks"},
           {place.compare("1", {"one.yaml"}, {"--what"}), "--what"}}) {
    const Finished result = run_child(arguments, with_programs());
    INFO(result.err);
    CHECK(result.code == 2);
    CHECK_THAT(result.err, Catch::Contains(words));
    CHECK_FALSE(fs::exists(place.runs()));
  }
}

TEST_CASE("a run with empty records is named by the comparison and by its ranking") {
  const StudyPlace place;
  REQUIRE(run_child(place.compare("1", {"one.yaml", "same.yaml", "other.yaml"}), with_programs()).code == 0);
  fs::resize_file(place.run("other-seed1/metrics.jsonl"), 0);
  const std::string reason = "left out: other-seed1: it was never evaluated";
  const Finished table = done(program("moe-inspect") + Arguments{"compare", place.runs()});
  CHECK_THAT(table.out, Catch::Contains("2 configurations, 2 runs") && Catch::Contains(reason));
  const Finished ranking = done(program("moe-inspect") + Arguments{"compare", place.runs(), "--rank"});
  CHECK_THAT(ranking.out, !Catch::Contains("other"));
  CHECK_THAT(ranking.err, Catch::Contains(reason));
}

TEST_CASE("moe-inspect compare refuses unfair comparisons, and still inspects runs") {
  const StudyPlace place;
  REQUIRE(run_child(place.compare("1 2", {"one.yaml", "other.yaml"}), with_programs()).code == 0);
  REQUIRE(run_child(place.compare("1 2", {"same.yaml"}, {"--set", "evaluate.tokens=300"}), with_programs()).code == 4);
  const Finished unfair = run_child(program("moe-inspect") + Arguments{"compare", place.runs()});
  CHECK(unfair.code == 4);
  CHECK_THAT(unfair.out, Catch::Contains("2 configurations, 4 runs"));
  CHECK_THAT(unfair.out, Catch::Contains("same-seed1: evaluated tokens 299 instead of 499 (one-seed1)"));
  CHECK_THAT(unfair.err,
             Catch::Contains("the comparison would be unfair for 2 runs, which were left out: same-seed1, same-seed2"));

  const auto code = [&](const Arguments& rest) { return run_child(program("moe-inspect") + rest).code; };
  CHECK(code({"compare", place.runs(), "--baseline", "absent"}) == 2);
  CHECK(code({"compare", place.runs(), "--at", "first"}) == 2);
  CHECK(code({"compare"}) == 2);
  CHECK(code({"compare", place / "absent"}) == 4);
  CHECK(code({"compare", place.path()}) == 4);
  CHECK(code({"compare", place.runs(), "--html", place / "absent/page.html"}) == 4);
  CHECK(code({place.run("one-seed1")}) == 0);
  CHECK(fs::exists(place.run("one-seed1/report.html")));
}
