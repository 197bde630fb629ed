// Damaged checkpoints: what moe-train goes on from, what it refuses, and what the other programs say.
#include <filesystem>
#include <fstream>
#include <functional>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

static const Arguments kKeep{"checkpoint.keep_last=100", "train.steps=15"};

// A way to damage a checkpoint; `file` is in its folder.
struct Damage {
  const char* name;
  const char* file;
  std::function<void(const std::string& file)> apply;
};

static void flip_bit(const std::string& file, int64_t from_end) {
  std::string text = read_file(file);
  const size_t byte = text.size() - static_cast<size_t>(from_end);
  text[byte] = static_cast<char>(text[byte] ^ 1);
  std::ofstream(file) << text;
}
static void make_empty(const std::string& file) {
  std::ofstream(file, std::ios::trunc);
}
static void cut(const std::string& file) {
  fs::resize_file(file, fs::file_size(file) / 2);
}
static void erase(const std::string& file) {
  fs::remove(file);
}

static const std::vector<Damage>& damages() {
  static const std::vector<Damage> all{
      {"a flipped bit", "model.safetensors", [](const std::string& f) { flip_bit(f, 9); }},
      {"a flipped bit", "optimizer.safetensors", [](const std::string& f) { flip_bit(f, 1); }},
      {"a flipped bit", "state.json", [](const std::string& f) { flip_bit(f, 40); }},
      {"a flipped bit", "moe_tokenizer.json", [](const std::string& f) { flip_bit(f, 5); }},
      {"a flipped bit", "config.yaml", [](const std::string& f) { flip_bit(f, 5); }},
      {"half of it", "model.safetensors", cut},
      {"half of it", "config.yaml", cut},
      {"nothing in it", "state.json", make_empty},
      {"nothing in it", "moe_tokenizer.json", make_empty},
      {"it is missing", "optimizer.safetensors", erase},
      {"it is missing", "state.json", erase},
  };
  return all;
}

TEST_CASE("a damaged last checkpoint: auto goes on from the one before, must refuses and names it") {
  TemporaryFolder straight, whole;
  done(tiny_train(straight.path(), kKeep));
  done(tiny_train(whole.path(), kKeep));
  for (const Damage& damage : damages()) {
    INFO(damage.file << ": " << damage.name);
    TemporaryFolder folder;
    fs::copy(whole.path(), folder.path(), fs::copy_options::recursive);
    const std::string last = last_checkpoint(folder.path());
    damage.apply(last + "/" + damage.file);
    const std::string metrics = read_file(folder / "run/metrics.jsonl");

    const Finished verified = run_child(program("moe-train") + Arguments{"--verify", folder / "run"});
    CHECK(verified.code == 4);
    CHECK_THAT(verified.out, Catch::Contains("step_00000015  damaged") && Catch::Contains(damage.file) &&
                                 Catch::Contains("step_00000010  good"));

    const Finished refused = run_child(tiny_train(folder.path(), kKeep) + Arguments{"--resume", "must"});
    CHECK(refused.code == 4);
    CHECK_THAT(refused.err, Catch::Contains(last + "/" + damage.file) &&
                                Catch::Contains("The last good one is of step 10") && Catch::Contains("--resume auto"));
    CHECK(read_file(folder / "run/metrics.jsonl") == metrics);  // nothing was changed
    CHECK(fs::exists(last));

    const Finished resumed = done(tiny_train(folder.path(), kKeep));
    CHECK_THAT(resumed.err, Catch::Contains("The checkpoint of step 15 is damaged") &&
                                Catch::Contains("The run goes on from step 10"));
    CHECK(fs::exists(last + ".damaged"));
    CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(folder.path())) == 0);
    CHECK(metrics_difference(straight / "run", folder / "run") == "");
    CHECK(CheckpointFolder(folder / "run/checkpoints").best() == CheckpointFolder(straight / "run/checkpoints").best());
    CHECK(done(program("moe-train") + Arguments{"--verify", folder / "run"}).code == 0);
  }
}

TEST_CASE("damage that one rank alone reads is found by all, and only then anything is changed") {
  TemporaryFolder straight, folder;
  done(mpirun(2) + tiny_train(straight.path(), kKeep));
  done(mpirun(2) + tiny_train(folder.path(), kKeep));
  // The experts of the second rank.
  const std::string last = last_checkpoint(folder.path()), file = last + "/model-00002-of-00002.safetensors";
  flip_bit(file, 1);
  const Finished refused = run_child(mpirun(2) + tiny_train(folder.path(), kKeep) + Arguments{"--resume", "must"});
  CHECK(refused.code == 4);
  CHECK_THAT(refused.err, Catch::Contains(file) && Catch::Contains("found by rank 1") &&
                              Catch::Contains("The last good one is of step 10"));
  const Finished resumed = done(mpirun(2) + tiny_train(folder.path(), kKeep));
  CHECK_THAT(resumed.err, Catch::Contains("found by rank 1") && Catch::Contains("goes on from step 10"));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(folder.path())) == 0);
}

TEST_CASE("several damaged checkpoints are passed over; when all are, the run ends with 4 and is left as it is") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), kKeep));
  const CheckpointFolder checkpoints(folder / "run/checkpoints");
  for (const int64_t step : {10, 15}) flip_bit(checkpoints.path(step) + "/model.safetensors", 9);
  TemporaryFolder copy;
  fs::copy(folder.path(), copy.path(), fs::copy_options::recursive);
  CHECK_THAT(done(tiny_train(copy.path(), kKeep)).err, Catch::Contains("goes on from step 5"));

  for (const int64_t step : checkpoints.steps()) make_empty(checkpoints.path(step) + "/state.json");
  const std::vector<int64_t> steps = checkpoints.steps();
  const std::string metrics = read_file(folder / "run/metrics.jsonl");
  for (const char* mode : {"auto", "must"}) {
    const Finished result = run_child(tiny_train(folder.path(), kKeep) + Arguments{"--resume", mode});
    INFO(result.err);
    CHECK(result.code == 4);
    CHECK_THAT(result.err, Catch::Contains("holds no checkpoint that is good") && Catch::Contains("step 5:"));
    CHECK(checkpoints.steps() == steps);
    CHECK(read_file(folder / "run/metrics.jsonl") == metrics);
  }
}

TEST_CASE("moe-eval and moe-inspect take no other checkpoint than was asked for") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), kKeep));
  const std::string last = last_checkpoint(folder.path());
  flip_bit(last + "/model.safetensors", 9);
  for (const Arguments& command :
       {program("moe-eval") + Arguments{folder / "run"}, program("moe-eval") + Arguments{last},
        program("moe-inspect") + Arguments{folder / "run", "--no-html"}}) {
    const Finished result = run_child(command);
    INFO(result.err);
    CHECK(result.code == 4);
    CHECK_THAT(result.err, Catch::Contains(last + "/model.safetensors is damaged"));
  }
  done(program("moe-eval") + Arguments{folder / "run", "--checkpoint", "10"});
}

TEST_CASE("a run whose checkpoints are gone does not start again over its records") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), kKeep));
  const std::string metrics = read_file(folder / "run/metrics.jsonl");
  fs::remove_all(folder / "run/checkpoints");  // a disk that is not mounted
  fs::create_directories(folder / "run/checkpoints");
  for (const char* mode : {"auto", "never", "must"}) {
    const Finished result = run_child(tiny_train(folder.path(), kKeep) + Arguments{"--resume", mode});
    INFO(result.err);
    CHECK(result.code == 4);
    CHECK_THAT(result.err, Catch::Contains("metrics.jsonl tells of one of step 15"));
    CHECK(read_file(folder / "run/metrics.jsonl") == metrics);
  }
  fs::remove(folder / "run/metrics.jsonl");
  done(tiny_train(folder.path(), kKeep));
}

TEST_CASE("an empty BEST or manifest.json does not keep a run from going on") {
  TemporaryFolder folder, straight;
  done(tiny_train(folder.path(), kKeep + Arguments{"train.steps=10"}));
  done(tiny_train(straight.path(), kKeep));
  make_empty(folder / "run/checkpoints/BEST");
  make_empty(folder / "run/manifest.json");
  const Finished result = done(tiny_train(folder.path(), kKeep) + Arguments{"--resume", "must"});
  CHECK_THAT(result.err, Catch::Contains("BEST is damaged") && Catch::Contains("manifest.json is damaged"));
  CHECK(CheckpointFolder(folder / "run/checkpoints").best() == CheckpointFolder(straight / "run/checkpoints").best());
  CHECK(parse_json(read_file(folder / "run/manifest.json")).contains("sessions"));
}

TEST_CASE("a manifest.json whose sessions are no list is written again") {
  TemporaryFolder folder;
  const std::string manifest = folder / "run/manifest.json";
  done(tiny_train(folder.path(), {"train.steps=5"}));
  for (const char* text : {R"({"sessions": 3})", R"({"sessions": [3, {"from": "a"}, {}]})"}) {
    CAPTURE(text);
    std::ofstream(manifest) << text;
    done(tiny_train(folder.path(), {"train.steps=5"}));
    std::ofstream(manifest) << text;
    done(tiny_train(folder.path(), {"train.steps=10"}));
    CHECK(parse_json(read_file(manifest)).at("sessions").size() == 1);
    fs::remove_all(folder / "run/checkpoints/step_00000010");
  }
}

TEST_CASE("half-removed and unfinished checkpoints are removed when the run goes on") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), kKeep + Arguments{"train.steps=10"}));
  const CheckpointFolder checkpoints(folder / "run/checkpoints");
  fs::remove(checkpoints.path(5) + "/COMPLETE");
  fs::create_directories(checkpoints.path(11) + ".tmp");
  CHECK(run_child(tiny_train(folder.path(), kKeep) + Arguments{"--resume", "never"}).code == 4);
  CHECK(fs::exists(checkpoints.path(5)));  // a refused start removes nothing
  done(tiny_train(folder.path(), kKeep));
  CHECK_FALSE(fs::exists(checkpoints.path(5)));
  CHECK(checkpoints.remains().empty());
}

TEST_CASE("the checkpoint of the best evaluation is kept, also when that is the one before the first update") {
  TemporaryFolder folder;
  // Updates that make it worse.
  done(tiny_train(folder.path(), {"train.steps=12", "train.learning_rate=2", "train.clip_norm=0.1", "evaluate.every=3",
                                  "checkpoint.every=0"}));
  const CheckpointFolder checkpoints(folder / "run/checkpoints");
  REQUIRE(checkpoints.best() == 0);
  CHECK(checkpoints.steps() == std::vector<int64_t>{0, 12});
  const Finished best = done(program("moe-eval") + Arguments{folder / "run", "--checkpoint", "best"});
  CHECK_THAT(best.err, Catch::Contains("step_00000000"));
}
