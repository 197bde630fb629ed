// Pairs of images and texts through the programs: training, resuming, several ranks, evaluation and reports.
#include <fmt/core.h>

#include <filesystem>

#include "core/base/json_text.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_images.h"
#include "tests/support/tiny_sounds.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

// Images of 8 x 8 pixels of which one quarter is bright, and texts that say which, with a phrase of their own in each
// split.
struct Quarters {
  Quarters() {
    fs::create_directory(folder / "images");
    write_idx_folder(folder / "images", bright_quarters(240, 8, 1, 6), bright_quarters(60, 8, 2));
    fs::create_directory(folder / "names");
    const char* places[] = {"north", "east", "south", "west"};
    for (const auto& [split, phrases] :
         {std::pair<const char*, std::vector<const char*>>{"train", {"{}", "the {}", "at {}", "in the {}", "look {}"}},
          {"validation", {"on {}"}},
          {"test", {"it is {}"}}}) {
      std::string lines;
      for (int c = 0; c < 4; ++c) {
        for (const char* phrase : phrases)
          lines += fmt::format("{}\t{}\n", c, fmt::format(fmt::runtime(phrase), places[c]));
      }
      write_bytes(fmt::format("{}/names/{}.tsv", folder.path(), split), lines);
    }
  }
  Arguments train(const Arguments& assignments = {}) const {
    return program("moe-train") + settings(Arguments{"folder=" + folder.path(),
                                                     "name=run",
                                                     "task=pairs",
                                                     "parallel.threads=1",
                                                     "model.layers=2",
                                                     "model.d_model=16",
                                                     "model.patch=4",
                                                     "model.init_std=0.2",
                                                     "model.attention={heads: 2, causal: false, position: learned}",
                                                     "moe.experts=4",
                                                     "moe.d_ff=16",
                                                     "moe.modality_bias=true",
                                                     "moe.balance=[{kind: entropy_global, modality: first}, z]",
                                                     "data.path=" + folder.path() + "/images",
                                                     "data.pairs.second=" + folder.path() + "/names",
                                                     "data.sequence=20",
                                                     "data.labelled.validation=40",
                                                     "train.batch=16",
                                                     "train.steps=200",
                                                     "train.learning_rate={kind: constant, value: 0.005}",
                                                     "log.every=1",
                                                     "evaluate.every=100",
                                                     "checkpoint.every=100"} +
                                           assignments);
  }
  std::vector<Json> records(const std::string& type, const std::string& run = "run") const {
    return records_of(folder / run, type);
  }

  TemporaryFolder folder;
};

TEST_CASE("a model of pairs learns to retrieve images by texts, and the programs report it") {
  const Quarters data;
  const Finished trained = run_child(data.train());
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  const auto evaluations = data.records("eval");
  CHECK(evaluations.back()["recall@1"].get<double>() > 0.8);
  CHECK(evaluations.back()["modality_load"].size() == 2);
  const auto steps = data.records("train");
  CHECK(steps.back()["modality_load"][0].size() == 2);
  CHECK(steps.back()["balance"].contains("entropy_global"));

  const std::string run = data.folder / "run";
  const Finished number = run_child(program("moe-eval") + Arguments{run});
  INFO(number.err);
  REQUIRE(number.code == 0);
  CHECK(std::stod(number.out) > 0.8);
  CHECK(number.err.find("zero_shot") != std::string::npos);
  const Finished json = run_child(program("moe-eval") + Arguments{run, "--json", "--batch", "7"});
  REQUIRE(json.code == 0);
  const Json result = parse_json(json.out);
  for (const char* metric :
       {"recall@1", "first_to_second@1", "second_to_first@1", "first_to_second@5", "second_to_first@5", "zero_shot"}) {
    INFO(metric);
    CHECK(result[metric].get<double>() > 0.6);
  }
  CHECK(fmt::format("{:.6f}\n", result["recall@1"].get<double>()) == number.out);

  const Finished inspected = run_child(program("moe-inspect") + Arguments{run, "--json"});
  INFO(inspected.err);
  REQUIRE(inspected.code == 0);
  const Json report = parse_json(inspected.out);
  CHECK(report["modality_load"]["image"].size() == 2);
  CHECK(report["modality_load"]["text"][0].size() == 4);
  const Finished text = run_child(program("moe-inspect") + Arguments{run});
  CHECK(text.out.find("experts by modality") != std::string::npos);
}

TEST_CASE("a run of pairs that is interrupted, or on two ranks with micro-batches, ends like one that is not") {
  const Quarters data;
  REQUIRE(run_child(data.train({"name=whole", "train.steps=20", "checkpoint.every=10"})).code == 0);
  REQUIRE(run_child(data.train({"name=resumed", "train.steps=20", "checkpoint.every=10"})).code == 0);
  fs::remove_all(data.folder / "resumed/checkpoints/step_00000020");
  const Finished again = run_child(data.train({"name=resumed", "train.steps=20", "checkpoint.every=10"}));
  INFO(again.err);
  REQUIRE(again.code == 0);
  const auto whole = data.records("train", "whole"), resumed = data.records("train", "resumed");
  REQUIRE(whole.size() == 20);
  REQUIRE(resumed.size() == 20);
  for (size_t i = 0; i < 20; ++i) CHECK(resumed[i]["loss"] == whole[i]["loss"]);

  const Finished parallel =
      run_child(mpirun(2) + data.train({"name=parallel", "train.steps=20", "train.micro_batches=3"}));
  INFO(parallel.err);
  REQUIRE(parallel.code == 0);
  const auto ranks = data.records("train", "parallel");
  REQUIRE(ranks.size() == 20);
  CHECK(ranks[0]["loss"].get<double>() == Approx(whole[0]["loss"].get<double>()).epsilon(1e-5));
  CHECK(ranks[19]["loss"].get<double>() == Approx(whole[19]["loss"].get<double>()).epsilon(1e-2));
}

TEST_CASE("a model of images and sounds learns to find one by the other, resumes, and two ranks train like one") {
  const Quarters data;
  write_numbered_sounds(data.folder / "sounds", 24);
  const Arguments sounds{"data.pairs.second=" + data.folder.path() + "/sounds",
                         "data.audio={rate: 8000, seconds: 0.2, bands: 16}", "data.augment={shift: 1, time_shift: 20}",
                         "model.patch_frames=5", "model.patch_bands=8"};
  const Finished trained = run_child(data.train(sounds));
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(data.records("eval").back()["recall@1"].get<double>() > 0.8);
  const Finished evaluated = run_child(program("moe-eval") + Arguments{data.folder / "run", "--split", "test"});
  INFO(evaluated.err);
  REQUIRE(evaluated.code == 0);
  CHECK(std::stod(evaluated.out) > 0.8);
  const Finished inspected = run_child(program("moe-inspect") + Arguments{data.folder / "run", "--json"});
  REQUIRE(inspected.code == 0);
  CHECK(parse_json(inspected.out)["modality_load"].contains("sound"));

  fs::remove_all(data.folder / "run/checkpoints/step_00000200");
  const auto whole = data.records("train");
  REQUIRE(run_child(data.train(sounds)).code == 0);
  const auto resumed = data.records("train");
  REQUIRE(resumed.size() == whole.size());
  CHECK(resumed.back()["loss"] == whole.back()["loss"]);

  const Finished parallel =
      run_child(mpirun(2) + data.train(sounds + Arguments{"name=parallel", "train.steps=5", "train.micro_batches=3"}));
  INFO(parallel.err);
  REQUIRE(parallel.code == 0);
  const auto ranks = data.records("train", "parallel");
  REQUIRE(ranks.size() == 5);
  CHECK(ranks[0]["loss"].get<double>() == Approx(whole[0]["loss"].get<double>()).epsilon(1e-5));
  CHECK(ranks[4]["loss"].get<double>() == Approx(whole[4]["loss"].get<double>()).epsilon(1e-2));
  // What is for neither part is refused.
  const Finished refused = run_child(data.train({"name=other", "data.augment={snr: 10}"}));
  CHECK(refused.code == 2);
  CHECK_THAT(refused.err, Catch::Contains("data.augment.snr"));
}

TEST_CASE("what is no pair is refused with the key to change") {
  const Quarters data;
  const auto refused = [&](const Arguments& assignments) {
    const Finished run = run_child(data.train(assignments));
    CHECK(run.code != 0);
    return run.err;
  };
  CHECK_THAT(refused({"data.pairs.second="}), Catch::Contains("data.pairs.second"));
  CHECK_THAT(refused({"data.path=" + data.folder.path() + "/names"}), Catch::Contains("data.pairs.second"));
  CHECK_THAT(refused({"model.pooling=class_token"}), Catch::Contains("model.pooling"));
  CHECK_THAT(refused({"train.label_smoothing=0.1"}), Catch::Contains("train.label_smoothing"));
  CHECK_THAT(refused({"curriculum={sampler: importance, signals: {entropy: 1}}"}),
             Catch::Contains("curriculum.signals.entropy"));
  for (const char* split : {"train", "validation", "test"})
    write_bytes(data.folder / (std::string("names/") + split + ".tsv"), "0\tone\n1\ttwo\n2\tthree\n");
  CHECK_THAT(refused({}), Catch::Contains("no training sample of the class 3"));
}
