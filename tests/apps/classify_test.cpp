// Classification of labelled images through the programs: training, resuming, several ranks, a curriculum, evaluation
// and reports.
#include <fmt/core.h>

#include <filesystem>

#include "core/base/json_text.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_images.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

// A folder with images of 12 x 12 pixels in 4 classes, and runs on them.
struct Images {
  Images() {
    fs::create_directory(folder / "images");
    write_idx_folder(folder / "images", bright_quarters(240, 12, 1, 6), bright_quarters(60, 12, 2));
  }
  Arguments train(const Arguments& assignments = {}) const {
    return program("moe-train") + settings(Arguments{"folder=" + folder.path(),
                                                     "name=run",
                                                     "task=classify",
                                                     "parallel.threads=1",
                                                     "model.layers=2",
                                                     "model.d_model=16",
                                                     "model.patch=4",
                                                     "model.attention={heads: 2, causal: false, position: learned}",
                                                     "model.dropout=0.1",
                                                     "moe.experts=4",
                                                     "moe.d_ff=16",
                                                     "data.path=" + folder.path() + "/images",
                                                     "data.labelled.validation=40",
                                                     "data.augment.shift=1",
                                                     "train.batch=16",
                                                     "train.steps=40",
                                                     "train.learning_rate={kind: constant, value: 0.005}",
                                                     "log.every=1",
                                                     "evaluate.every=10",
                                                     "checkpoint.every=10"} +
                                           assignments);
  }
  std::vector<Json> records(const std::string& type, const std::string& run = "run") const {
    return records_of(folder / run, type);
  }
  std::string checkpoint_file(const std::string& name, const std::string& run = "run") const {
    return read_file(fmt::format("{}/{}/checkpoints/step_00000040/{}", folder.path(), run, name));
  }

  TemporaryFolder folder;
};

static const Arguments kBuckets = {
    "curriculum.sampler={kind: buckets, pacing: {kind: linear, start: 0.3}, revisit: 0.2}",
    "curriculum.signals={loss: 1, confidence: 0.5, entropy: 0.5, router_entropy: 0.1}"};

TEST_CASE("a vision MoE learns small images, and moe-eval reports its accuracy", "[slow]") {
  const Images images;
  const Finished trained = run_child(images.train());
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(trained.err.find("200 train, 40 validation, 60 test") != std::string::npos);
  const auto steps = images.records("train");
  REQUIRE(steps.size() == 40);
  CHECK(steps[0]["tokens"] == 16 * 9);
  CHECK_FALSE(steps[0].contains("bpc"));
  CHECK(images.records("eval").back()["accuracy"].get<double>() > 0.8);
  CHECK_FALSE(images.records("eval").back().contains("bpc"));

  const std::string run = images.folder / "run";
  const Finished number = run_child(program("moe-eval") + Arguments{run});
  INFO(number.err);
  REQUIRE(number.code == 0);
  CHECK(std::stod(number.out) > 0.9);  // the test images are all easy
  const Finished json = run_child(program("moe-eval") + Arguments{run, "--json"});
  const auto parsed = parse_json(json.out);
  CHECK(parsed["accuracy"].get<double>() == Approx(std::stod(number.out)).margin(1e-6));
  CHECK(parsed["tokens"] == 60);
  CHECK(parsed["nll"].get<double>() < 1);
  CHECK_FALSE(parsed.contains("bpc"));
  // Neither the batch size nor the number of ranks changes a bit.
  const Finished other = run_child(program("moe-eval") + Arguments{run, "--json", "--batch", "7"});
  CHECK(parse_json(other.out)["nll"] == parsed["nll"]);
  const Finished ranks = run_child(mpirun(2) + program("moe-eval") + Arguments{run, "--json", "--batch", "7"});
  CHECK(parse_json(ranks.out)["nll"].get<double>() == Approx(parsed["nll"].get<double>()).epsilon(1e-6));
  const Finished some = run_child(program("moe-eval") + Arguments{run, "--json", "--tokens", "10"});
  CHECK(parse_json(some.out)["tokens"] == 10);

  // Strong noise makes the images unrecognisable; it is the same in every evaluation.
  const auto noisy = [&](const char* deviation) {
    const Finished finished = run_child(program("moe-eval") + Arguments{run, "--json", "--noise", deviation});
    REQUIRE(finished.code == 0);
    return parse_json(finished.out);
  };
  CHECK(noisy("0")["nll"] == parsed["nll"]);
  CHECK(noisy("4")["noise"] == 4);
  CHECK(noisy("4")["nll"] == noisy("4")["nll"]);
  CHECK(noisy("4")["accuracy"].get<double>() < parsed["accuracy"].get<double>() - 0.2);

  for (const Arguments& wrong : {Arguments{"--metric", "bpc"},
                                 {"--context", "4"},
                                 {"--stride", "2"},
                                 {"--probe-causality"},
                                 {"--noise", "-1"}}) {
    CHECK(run_child(program("moe-eval") + Arguments{run} + wrong).code == 2);
  }
  fs::create_directory(images.folder / "larger");
  write_idx_folder(images.folder / "larger", bright_quarters(60, 16, 1), bright_quarters(8, 16, 1));
  CHECK(run_child(program("moe-eval") + Arguments{run, "--data", images.folder / "larger"}).code == 3);
  CHECK(run_child(program("moe-eval") + Arguments{run, "--split", "dev"}).code == 3);
}

TEST_CASE("a resumed run on images equals an uninterrupted one", "[slow]") {
  const Images whole, parts;
  // The length may change between a run and its continuation; schedules that depend on it would change with it.
  const Arguments fixed = {
      "model.pooling=class_token", "name=fixed",
      "curriculum.sampler={kind: buckets, mix: {easy: 1, medium: 1, hard: 1}, pacing: {kind: auto, "
      "start: 0.3, over: 25, horizon: 3}, revisit: 0.2}",
      "curriculum.signals={loss: 1, entropy: 0.5}"};
  REQUIRE(run_child(whole.train(fixed)).code == 0);
  REQUIRE(run_child(parts.train(fixed + Arguments{"train.steps=20"})).code == 0);
  const Finished resumed = run_child(parts.train(fixed));
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  CHECK(resumed.err.find("Resuming") != std::string::npos);
  for (const char* file : {"model.safetensors", "difficulty.bin", "samples.json"}) {
    INFO(file);
    CHECK(whole.checkpoint_file(file, "fixed") == parts.checkpoint_file(file, "fixed"));
  }
  // Other images belong to another run.
  write_idx_folder(parts.folder / "images", bright_quarters(240, 12, 3), bright_quarters(60, 12, 2));
  CHECK(run_child(parts.train(fixed + Arguments{"train.steps=60"})).code == 4);
  // A store of other images is refused, one of the same images is accepted.
  const std::string from = "curriculum.from=" + (whole.folder / "fixed");
  CHECK(run_child(whole.train(kBuckets + Arguments{"name=second", from})).code == 0);
  CHECK(run_child(parts.train(kBuckets + Arguments{"name=second", from})).code == 4);
}

TEST_CASE("ranks train on the same images", "[slow]") {
  const Images images;
  REQUIRE(run_child(images.train(kBuckets)).code == 0);
  const auto expected = images.records("train");
  for (const int ranks : {2, 4}) {
    const std::string name = fmt::format("ranks{}", ranks);
    const Finished result = run_child(mpirun(ranks) + images.train(kBuckets + Arguments{"name=" + name}));
    INFO(result.err);
    REQUIRE(result.code == 0);
    const auto found = images.records("train", name);
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i]["loss"].get<double>() == Approx(expected[i]["loss"].get<double>()).epsilon(2e-3));
      CHECK(found[i]["curriculum"]["seen"] == expected[i]["curriculum"]["seen"]);
    }
  }
}

TEST_CASE("the curriculum's report shows the easiest and hardest images, and finds the noisy ones", "[slow]") {
  const Images images;
  REQUIRE(run_child(images.train({"curriculum.signals={loss: 1}", "train.steps=120", "checkpoint.every=120"})).code ==
          0);
  const std::string run = images.folder / "run";
  const Finished json = run_child(program("moe-inspect") + Arguments{"curriculum", run, "--samples", "12", "--json"});
  REQUIRE(json.code == 0);
  const auto parsed = parse_json(json.out);
  REQUIRE(parsed["hardest"].size() == 12);
  CHECK(parsed["hardest"][0]["description"].get<std::string>().rfind("class ", 0) == 0);
  const Finished text = run_child(program("moe-inspect") + Arguments{"curriculum", run, "--samples", "2"});
  CHECK(text.out.find("##") != std::string::npos);  // a bright quarter
  const Finished report = run_child(program("moe-inspect") + Arguments{run});
  INFO(report.err);
  REQUIRE(report.code == 0);
  CHECK(report.out.find("accuracy") != std::string::npos);
  CHECK(report.out.find("bpc") == std::string::npos);
  const std::string html = read_file(run + "/report.html");
  CHECK(html.find("data:image/png;base64,") != std::string::npos);
  CHECK(html.find("nan") == std::string::npos);
  CHECK(parse_json(run_child(program("moe-inspect") + Arguments{run, "--json", "--no-html"}).out)
            .at("evaluation")
            .contains("accuracy"));
}

TEST_CASE("moe-few-shot classifies frozen images from a few labels, and learns classes that its run never saw",
          "[slow]") {
  const Images images;
  done(images.train({"data.labelled.classes=[0, 1, 2]", "train.steps=60"}));
  const std::string run = images.folder / "run";
  const auto few = [&](const Arguments& more, const Arguments& start = {}) {
    return run_child(start + program("moe-few-shot") + Arguments{run, "--labels", "1,10", "--draws", "5", "--json"} +
                     more);
  };
  const Finished own = few({});
  INFO(own.err);
  REQUIRE(own.code == 0);
  const Json results = parse_json(own.out)["runs"][0]["results"];
  CHECK(results[0]["draws"].size() == 5);
  CHECK(results[1]["accuracy"].get<double>() > 0.9);
  const Arguments others{"--set", "data.labelled.classes=[2, 3]", "--set", "data.labelled.validation=20"};
  const Finished unseen = few(others);
  INFO(unseen.err);
  REQUIRE(unseen.code == 0);
  CHECK(parse_json(unseen.out)["runs"][0]["results"][1]["accuracy"].get<double>() > 0.8);
  // Batch and ranks change no sample's features beyond rounding.
  CHECK(parse_json(few(others + Arguments{"--batch", "7"}).out) == parse_json(unseen.out));
  const Finished ranks = few(others, mpirun(2));
  REQUIRE(ranks.code == 0);
  CHECK(parse_json(ranks.out)["runs"][0]["results"][1]["accuracy"].get<double>() ==
        Approx(parse_json(unseen.out)["runs"][0]["results"][1]["accuracy"].get<double>()).margin(0.05));

  CHECK(few({"--labels", "1000"}).code == 3);  // more than there are
  CHECK(few({"--labels", "0"}).code == 2);
  CHECK(few({"--ridge", "0"}).code == 2);
  CHECK(few({"--pooling", "class_token"}).code == 2);
  CHECK(few({"--set", "data.labelled.validation=0"}).code == 2);
  CHECK(few({"--set", "data.labelled.classes=[2, 9]"}).code == 3);
  CHECK(few({"--data", images.folder / "nowhere"}).code == 3);
  CHECK(run_child(program("moe-few-shot") + Arguments{images.folder / "nothing"}).code == 4);
}

TEST_CASE("incompatible settings are refused with the right exit code", "[slow]") {
  const Images images;
  const auto code = [&](const Arguments& more) { return run_child(images.train(more) + Arguments{"--dry-run"}).code; };
  CHECK(code({}) == 0);
  CHECK(code({"moe.router=expert_choice"}) == 0);
  for (const char* wrong : {"model.patch=5", "moe.router=hash", "moe.router=stable", "model.tie_embeddings=true",
                            "sample.every=5", "evaluate.stride=4", "data.labelled.validation=240", "model.pooling=max",
                            "data.labelled.format=png", "train.label_smoothing=1"}) {
    INFO(wrong);
    CHECK(code({wrong}) == 2);
  }
  CHECK(code({"model.pooling=class_token", "model.attention.causal=true"}) == 2);
  CHECK(code({"data.path=" + (images.folder / "nowhere")}) == 3);
  CHECK(code({"data.path=synthetic"}) == 3);
  // The same for settings of language models.
  for (const char* wrong : {"model.attention.causal=false", "model.pooling=class_token", "data.augment.flip=true"}) {
    INFO(wrong);
    CHECK(run_child(tiny_train(images.folder.path(), {wrong}) + Arguments{"--dry-run"}).code == 2);
  }
  const std::string labels = images.folder / "images/train-labels-idx1-ubyte";
  fs::resize_file(labels, fs::file_size(labels) - 1);
  const Finished broken = run_child(images.train());
  CHECK(broken.code == 3);
  CHECK(broken.err.find("truncated") != std::string::npos);
}

TEST_CASE("a dry run reports the cost of images", "[slow]") {
  const Images images;
  const Finished result = run_child(images.train(kBuckets) + Arguments{"--dry-run"});
  REQUIRE(result.code == 0);
  for (const char* part :
       {"tokens per step            144", "difficulties", "steps                      40 (3.20 epochs"}) {
    INFO(result.out);
    CHECK(result.out.find(part) != std::string::npos);
  }
  const Finished causal = run_child(images.train({"model.attention.causal=true"}) + Arguments{"--dry-run"});
  CHECK(causal.out.find("causal") != std::string::npos);
}
