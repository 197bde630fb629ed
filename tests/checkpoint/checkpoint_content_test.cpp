// What is wrong in the content of a checkpoint is found.
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/damage.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/verify.h"
#include "tests/checkpoint/rank_state.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

TEST_CASE("a damaged state, or one of another format, is a checkpoint error") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(1));
  const std::string path = checkpoints.path(1), state = read_text(path + "/state.json");
  const auto refuses = [&](const std::string& text) {
    INFO(text);
    write_text_synced(path + "/state.json", text);
    CHECK_THROWS_AS(load_run_state(path), CheckpointError);
  };
  refuses("");
  refuses(state.substr(0, state.size() / 2));
  refuses("[]");
  refuses(R"({"format": 1})");
  refuses(R"({"format": 99, "step": 1})");
  fs::remove(path + "/state.json");
  CHECK_THROWS_AS(load_run_state(path), CheckpointError);
}

TEST_CASE("a truncated text file is noticed, although part of a YAML file may be valid YAML") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(1));
  fs::resize_file(checkpoints.path(1) + "/config.yaml", 3);
  CHECK_THROWS_WITH(load_run_state(checkpoints.path(1)), Catch::Contains("config.yaml is damaged"));
  CHECK_THROWS_AS(load_run_state(checkpoints.path(1)), DamagedCheckpoint);
  fs::remove(checkpoints.path(1) + "/config.yaml");
  CHECK_THROWS_AS(load_run_state(checkpoints.path(1)), CheckpointError);
}

TEST_CASE("a weight that is not finite is refused with its tensor's name, as training that diverged") {
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    TemporaryFolder folder;
    const CheckpointFolder checkpoints(folder.path());
    const ProcessGroups groups = groups_of(0, 1, 1);
    RankState state(groups);
    state.fill();
    state.parameters.parameters()[0].value.as<float>()[5] = wrong;
    checkpoints.save(run_at(1), state.parameters, *state.optimizer, groups, {});
    RankState read(groups);
    CHECK_THROWS_AS(load_tensors(checkpoints.path(1), read.parameters, nullptr), DivergedError);
    CHECK_THROWS_WITH(load_tensors(checkpoints.path(1), read.parameters, nullptr),
                      Catch::Contains("embedding.weight") && Catch::Contains("at element 5"));
  }
}

// Every file of a checkpoint, by its name.
static std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

static void flip_bit(const std::string& file, size_t byte) {
  std::string text = read_text(file);
  text.at(byte) = static_cast<char>(text.at(byte) ^ 4);
  write_text_synced(file, text);
}

TEST_CASE("a flipped bit anywhere in any file of a checkpoint is found") {
  const int ranks = GENERATE(1, 2);
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(3), ranks, ranks);
  const std::string path = checkpoints.path(3);
  CHECK(verify_checkpoint(path).has_hashes);
  CHECK(verify_checkpoint(path).tensors == 3 * (2 + 3 * kExperts));
  for (const std::string& name : files_in(path)) {
    if (name == "COMPLETE") continue;
    const std::string whole = read_text(path + "/" + name);
    for (size_t part = 0; part < 40; ++part) {
      const size_t byte = (whole.size() - 1) * part / 39;
      INFO(name << ", byte " << byte << " of " << whole.size());
      flip_bit(path + "/" + name, byte);
      CHECK_THROWS_AS(verify_checkpoint(path), DamagedCheckpoint);
      CHECK_THROWS_WITH(verify_checkpoint(path), Catch::Contains(name));
      write_text_synced(path + "/" + name, whole);
    }
    fs::resize_file(path + "/" + name, whole.size() - 1);
    CHECK_THROWS_AS(verify_checkpoint(path), DamagedCheckpoint);
    fs::remove(path + "/" + name);
    CHECK_THROWS_AS(verify_checkpoint(path), DamagedCheckpoint);
    write_text_synced(path + "/" + name, "");
    CHECK_THROWS_AS(verify_checkpoint(path), DamagedCheckpoint);
    write_text_synced(path + "/" + name, whole);
  }
  verify_checkpoint(path);
}

TEST_CASE("the rank that reads a tensor checks its content, and names file and tensor") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(3));
  const std::string path = checkpoints.path(3);
  RankState state(groups_of(0, 1, 1));
  for (const char* name : {"model", "optimizer"}) {
    const std::string file = path + "/" + name + ".safetensors", whole = read_text(file);
    flip_bit(file, whole.size() - 1);  // the last tensor's last byte
    load_run_state(path);              // which reads no tensor
    CHECK_THROWS_AS(load_tensors(path, state.parameters, state.optimizer.get()), DamagedCheckpoint);
    CHECK_THROWS_WITH(load_tensors(path, state.parameters, state.optimizer.get()),
                      Catch::Contains(file) && Catch::Contains("blocks.0.experts.4.bias"));
    write_text_synced(file, whole);
  }
  load_tensors(path, state.parameters, state.optimizer.get());
}

TEST_CASE("a file of another checkpoint is found, although its own hashes are right") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(3));
  const ProcessGroups groups = groups_of(0, 1, 1);
  RankState other(groups);  // of other values
  checkpoints.save(run_at(4), other.parameters, *other.optimizer, groups, {{"config.yaml", "name: x\n"}});
  for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
    fs::copy_file(checkpoints.path(4) + "/" + name, checkpoints.path(3) + "/" + name,
                  fs::copy_options::overwrite_existing);
    CHECK_THROWS_WITH(load_run_state(checkpoints.path(3)), Catch::Contains(name) && Catch::Contains("damaged"));
    save(checkpoints, run_at(3));
  }
}

TEST_CASE("a wrong hash comes before a weight that is not finite") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(3));
  const std::string file = checkpoints.path(3) + "/model.safetensors";
  std::string text = read_text(file);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  text.replace(text.size() - sizeof nan, sizeof nan, reinterpret_cast<const char*>(&nan), sizeof nan);
  write_text_synced(file, text);
  RankState state(groups_of(0, 1, 1));
  CHECK_THROWS_AS(load_tensors(checkpoints.path(3), state.parameters, nullptr), DamagedCheckpoint);
}

TEST_CASE("a replaced state has a right hash again") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(3));
  RunState run = load_run_state(checkpoints.path(3));
  run.evaluations_since_best = 7;
  checkpoints.replace_state(run);
  CHECK(load_run_state(checkpoints.path(3)).evaluations_since_best == 7);
  verify_checkpoint(checkpoints.path(3));
}

// A checkpoint as version 0.1 wrote it: without any hash.
static void remove_hashes(const std::string& path) {
  Json state = parse_json(read_text(path + "/state.json"));
  state.erase("xxh64");
  state.erase("file_hashes");
  state["file_bytes"] = {{"config.yaml", 8}};
  write_text_synced(path + "/state.json", json_text(state, 2) + "\n");
  for (const char* name : {"model", "optimizer"}) {
    const std::string file = path + "/" + name + ".safetensors", text = read_text(file);
    uint64_t length = 0;
    std::memcpy(&length, text.data(), sizeof length);
    const std::string data = text.substr(sizeof length + length);
    Json header = parse_json(text.substr(sizeof length, length));
    header["__metadata__"].erase("xxh64");
    const std::string shorter = json_text(header);
    length = shorter.size();
    write_text_synced(file, std::string(reinterpret_cast<const char*>(&length), sizeof length) + shorter + data);
  }
}

TEST_CASE("a checkpoint without hashes loads") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(3));
  const std::string path = checkpoints.path(3);
  remove_hashes(path);
  RankState state(groups_of(0, 1, 1));
  CHECK(load_run_state(path).step == 3);
  load_tensors(path, state.parameters, state.optimizer.get());
  CHECK(state.num_wrong() == 0);
  CHECK_FALSE(verify_checkpoint(path).has_hashes);
  checkpoints.replace_state(run_at(3));
  CHECK(load_run_state(path).step == 3);
}

TEST_CASE("the verification of a run has a line for each checkpoint") {
  TemporaryFolder folder;
  fs::create_directories(folder / "checkpoints");
  const CheckpointFolder checkpoints(folder / "checkpoints");
  std::string lines;
  const auto verify = [&](const std::string& path) {
    lines.clear();
    return verify_run(path, [&](const std::string& line) { lines += line + "\n"; });
  };
  CHECK_THROWS_AS(verify(folder.path()), CheckpointError);
  save(checkpoints, run_at(3));
  save(checkpoints, run_at(4));
  fs::create_directories(checkpoints.path(5) + ".tmp");
  CHECK(verify(folder.path()));
  CHECK_THAT(lines, Catch::Contains("step_00000003  good") && Catch::Contains("step_00000004  good") &&
                        Catch::Contains("step_00000005.tmp  unfinished"));
  flip_bit(checkpoints.path(3) + "/model.safetensors",
           read_text(checkpoints.path(3) + "/model.safetensors").size() - 1);
  CHECK_FALSE(verify(folder.path()));
  CHECK_THAT(lines, Catch::Contains("step_00000003  damaged") && Catch::Contains("step_00000004  good"));
  CHECK(verify(checkpoints.path(4)));
  CHECK_FALSE(verify(checkpoints.path(3)));
}
