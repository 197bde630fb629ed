#include "core/checkpoint/checkpoint.h"

#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>

#include "comm/self_communicator.h"
#include "core/base/json_text.h"
#include "core/checkpoint/damage.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/tensor_file.h"
#include "core/checkpoint/verify.h"
#include "core/config/config_reader.h"
#include "core/config/train_config.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"

using namespace moe;
namespace fs = std::filesystem;

// One of `size` ranks that do not communicate.
class SilentRank : public SelfCommunicator {
 public:
  SilentRank(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }

 private:
  int rank_, size_;
};

// The groups of a rank, of which only the world may communicate.
static ProcessGroups groups_of(int rank, int ranks, int expert_parallel, std::shared_ptr<Communicator> world = {}) {
  return {world ? std::move(world) : std::make_shared<SilentRank>(rank, ranks),
          std::make_shared<SilentRank>(rank % expert_parallel, expert_parallel),
          std::make_shared<SilentRank>(rank / expert_parallel, ranks / expert_parallel)};
}

// The parameters and optimizer states of one rank, for a model with `kExperts` experts.
static constexpr int64_t kExperts = 5;
struct RankState {
  explicit RankState(const ProcessGroups& groups) {
    const Share mine = groups.local_experts(kExperts);
    parameters.add({}, {"embedding.weight", Shape{7, 3}, ParameterGroup::shared, {}});
    parameters.add({}, {"norm.weight", Shape{3}, ParameterGroup::shared, {}, false});
    parameters.add(
        {},
        {"blocks.0.experts.{}.input.weight", Shape{mine.count, 4, 3}, ParameterGroup::expert, {}, true, mine.begin});
    parameters.add(
        {},
        {"blocks.0.experts.{}.output.weight", Shape{mine.count, 3, 4}, ParameterGroup::expert, {}, true, mine.begin});
    parameters.add({},
                   {"blocks.0.experts.{}.bias", Shape{mine.count, 3}, ParameterGroup::expert, {}, false, mine.begin});
    parameters.allocate(ctx, DType::f32);
    optimizer = Choice<Optimizer>("adamw").make(Optimizer::Setup{ctx, parameters, {1, 1, 1}});
  }

  // Calls visit("value" or the kind of state, the named tensor) for every tensor.
  template <class Visit>
  void for_each(Visit visit) {
    for (const ParameterGroup group : kTrainedGroups) {
      parameters.for_each_named(group, parameters.buffer(group).value,
                                [&](const NamedTensor& t) { visit("value", t); });
      optimizer->for_each_state(group, [&](const OptimizerStateKind& kind, const Tensor& state) {
        parameters.for_each_named(group, state, [&](const NamedTensor& t) { visit(kind.name, t); });
      });
    }
  }

  // Values derived from the tensor's name and kind, so that every mix-up is noticed.
  static float expected(const std::string& what, const std::string& name, int64_t i) {
    return static_cast<float>(std::hash<std::string>{}(what + name) % 100003) + static_cast<float>(i) / 64;
  }
  void fill() {
    for_each([](const std::string& what, const NamedTensor& t) {
      for (int64_t i = 0; i < t.tensor.size(); ++i) t.tensor.as<float>()[i] = expected(what, t.name, i);
    });
  }
  int64_t num_wrong() {
    int64_t wrong = 0;
    for_each([&](const std::string& what, const NamedTensor& t) {
      for (int64_t i = 0; i < t.tensor.size(); ++i) wrong += t.tensor.as<float>()[i] != expected(what, t.name, i);
    });
    return wrong;
  }

  Context ctx;
  ParameterStore parameters;
  std::unique_ptr<Optimizer> optimizer;
};

static void save(const CheckpointFolder& folder, const RunState& run, int ranks = 1, int expert_parallel = 1) {
  test::run_ranks(ranks, [&](const std::shared_ptr<Communicator>& world) {
    const ProcessGroups groups = groups_of(world->rank(), ranks, expert_parallel, world);
    RankState state(groups);
    state.fill();
    folder.save(run, state.parameters, *state.optimizer, groups, {{"config.yaml", "name: x\n"}});
  });
}

static RunState run_at(int64_t step) {
  RunState run;
  run.step = step;
  return run;
}

TEST_CASE("every tensor and optimizer state is read back under any expert-parallel layout") {
  for (const auto& [ranks, expert_parallel] : {std::pair{1, 1}, {2, 2}, {4, 4}, {2, 1}, {4, 2}, {4, 1}}) {
    TemporaryFolder folder;
    const CheckpointFolder checkpoints(folder.path());
    save(checkpoints, run_at(3), ranks, expert_parallel);
    for (const int parts : {1, 2, 4}) {
      for (int rank = 0; rank < parts; ++rank) {
        INFO("saved by " << ranks << " ranks at EP " << expert_parallel << ", loaded by rank " << rank << " of "
                         << parts);
        RankState state(groups_of(rank, parts, parts));
        CHECK(state.num_wrong() > 0);
        load_tensors(checkpoints.path(3), state.parameters, state.optimizer.get());
        CHECK(state.num_wrong() == 0);
      }
    }
  }
}

TEST_CASE("a checkpoint stores each expert once, under its global index") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(3), 4, 2);
  const TensorFolder model(checkpoints.path(3), "model");
  CHECK(model.tensors().size() == 2 + 3 * kExperts);
  for (int64_t e = 0; e < kExperts; ++e)
    CHECK(model.at(fmt::format("blocks.0.experts.{}.input.weight", e)).shape == Shape{4, 3});
  CHECK(TensorFolder(checkpoints.path(3), "optimizer").tensors().size() == 2 * (2 + 3 * kExperts));
}

TEST_CASE("a checkpoint of another optimizer is refused, unless only the parameters are read") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(3));
  const ProcessGroups groups = groups_of(0, 1, 1);
  RankState state(groups);
  Choice<Optimizer> sgd("sgd");
  const auto other = sgd.make(Optimizer::Setup{state.ctx, state.parameters, {1, 1, 1}});
  CHECK_THROWS_WITH(load_tensors(checkpoints.path(3), state.parameters, other.get()),
                    Catch::Contains("kept first_moment and second_moment of each parameter, the configured one keeps "
                                    "momentum"));
  load_tensors(checkpoints.path(3), state.parameters, nullptr);
  CHECK(state.parameters.parameters()[0].value.as<float>()[0] == RankState::expected("value", "embedding.weight", 0));
}

TEST_CASE("a checkpoint that does not list optimizer states is read as one of AdamW") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(3));
  const std::string file = checkpoints.path(3) + "/state.json";
  Json json = parse_json(read_text(file));
  REQUIRE(json.erase("optimizer_states") == 1);
  for (const char* newer : {"xxh64", "file_hashes"}) REQUIRE(json.erase(newer));
  replace_text(file, json_text(json, 2));
  const ProcessGroups groups = groups_of(0, 1, 1);
  RankState state(groups);
  load_tensors(checkpoints.path(3), state.parameters, state.optimizer.get());
  CHECK(state.num_wrong() == 0);
}

TEST_CASE("an optimizer without states writes no file for them") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  const ProcessGroups groups = groups_of(0, 1, 1);
  RankState state(groups);
  state.fill();
  TrainConfig config;
  read_config(parse_config("{optimizer: {kind: sgd, momentum: 0}}", "test"), config);
  const auto plain = config.optimizer.make(Optimizer::Setup{state.ctx, state.parameters, {1, 1, 1}});
  checkpoints.save(run_at(1), state.parameters, *plain, groups, {});
  CHECK_FALSE(std::filesystem::exists(checkpoints.path(1) + "/optimizer.safetensors"));
  RankState read(groups);
  load_tensors(checkpoints.path(1), read.parameters, plain.get());
  CHECK(read.parameters.parameters()[0].value.as<float>()[5] == RankState::expected("value", "embedding.weight", 5));
  CHECK_THROWS_WITH(load_tensors(checkpoints.path(1), read.parameters, read.optimizer.get()),
                    Catch::Contains("kept nothing of each parameter"));
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

TEST_CASE("the run's state is read back") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  RunState run = run_at(12);
  run.tokens = 1e12 + 1;
  run.best_loss = 1.0 / 3;
  run.best_step = 8;
  run.evaluations_since_best = 2;
  run.unlogged_loss = 0.1;
  run.unlogged_steps = 3;
  run.identity = {{"data", "abc"}};
  save(checkpoints, run);
  const RunState read = load_run_state(checkpoints.path(12));
  CHECK(read.step == 12);
  CHECK(read.tokens == run.tokens);
  CHECK(read.best_loss == run.best_loss);
  CHECK(read.best_step == 8);
  CHECK(read.evaluations_since_best == 2);
  CHECK(read.unlogged_loss == 0.1);
  CHECK(read.unlogged_steps == 3);
  CHECK(read.identity == run.identity);
  CHECK(read_text(checkpoints.path(12) + "/config.yaml") == "name: x\n");
}

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

TEST_CASE("only complete checkpoints count") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  CHECK_FALSE(checkpoints.last());
  CHECK(CheckpointFolder(folder / "absent").steps().empty());
  save(checkpoints, run_at(5));
  save(checkpoints, run_at(10));
  // The remains of a killed process: the temporary folder, a renamed one without COMPLETE, and unrelated entries.
  fs::copy(checkpoints.path(10), checkpoints.path(15) + ".tmp", fs::copy_options::recursive);
  fs::copy(checkpoints.path(10), checkpoints.path(20), fs::copy_options::recursive);
  fs::remove(checkpoints.path(20) + "/COMPLETE");
  fs::create_directories(folder / "step_x");
  write_text_synced(folder / "step_x/COMPLETE", "");
  fs::create_directories(folder / "step_00000030x");
  write_text_synced(folder / "step_00000030x/COMPLETE", "");
  CHECK(checkpoints.steps() == std::vector<int64_t>{5, 10});
  CHECK(checkpoints.last() == 10);

  // The same steps are saved again over the remains.
  save(checkpoints, run_at(15));
  save(checkpoints, run_at(20));
  CHECK(checkpoints.steps() == std::vector<int64_t>{5, 10, 15, 20});
  CHECK_FALSE(fs::exists(checkpoints.path(15) + ".tmp"));
}

TEST_CASE("a failed save leaves other checkpoints as they are, and no partial one") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(5));
  const ProcessGroups groups = ProcessGroups::single();
  RankState state(groups);
  CHECK_THROWS_AS(checkpoints.save(run_at(6), state.parameters, *state.optimizer, groups, {{"absent/config.yaml", ""}}),
                  CheckpointError);
  CHECK(checkpoints.steps() == std::vector<int64_t>{5});
  CHECK_FALSE(fs::exists(checkpoints.path(6)));
  CHECK_FALSE(fs::exists(checkpoints.path(6) + ".tmp"));
}

TEST_CASE("pruning keeps the newest and the best") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  CHECK_FALSE(checkpoints.best());
  for (const int64_t step : {1, 2, 3, 4, 100000000}) save(checkpoints, run_at(step));
  checkpoints.mark_best(2);
  CHECK(checkpoints.best() == 2);
  checkpoints.prune(3, true);
  CHECK(checkpoints.steps() == std::vector<int64_t>{2, 3, 4, 100000000});
  checkpoints.prune(9, false);
  CHECK(checkpoints.steps().size() == 4);
  checkpoints.prune(1, false);
  CHECK(checkpoints.steps() == std::vector<int64_t>{100000000});
  CHECK_FALSE(checkpoints.best());  // marked, but deleted
  CHECK_FALSE(fs::exists(checkpoints.path(2)));
}

TEST_CASE("find_checkpoint takes a run, a step or a folder, and its error lists what exists") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder / "checkpoints");
  CHECK_THROWS_WITH(find_checkpoint(folder.path(), "last"), Catch::Contains("no complete checkpoint"));
  CHECK_THROWS_AS(find_checkpoint(folder / "absent", "last"), CheckpointError);
  fs::create_directories(folder / "checkpoints");
  save(checkpoints, run_at(5));
  save(checkpoints, run_at(10));
  CHECK(find_checkpoint(folder.path(), "last") == checkpoints.path(10));
  CHECK(find_checkpoint(folder.path() + "/", "last") == checkpoints.path(10));
  CHECK_THROWS_WITH(find_checkpoint(folder.path(), "best"),
                    Catch::Contains("has no checkpoint of the best evaluation"));
  checkpoints.mark_best(5);
  CHECK(find_checkpoint(folder.path(), "best") == checkpoints.path(5));
  CHECK(find_checkpoint(folder.path(), "5") == checkpoints.path(5));
  CHECK(find_checkpoint(checkpoints.path(5), "last") == checkpoints.path(5));
  CHECK_THROWS_WITH(find_checkpoint(folder.path(), "7"), Catch::Contains("5, 10"));
  CHECK_THROWS_AS(find_checkpoint(folder.path(), "newest"), UsageError);
  fs::remove(checkpoints.path(10) + "/COMPLETE");
  CHECK_THROWS_WITH(find_checkpoint(checkpoints.path(10), "last"), Catch::Contains("has no file COMPLETE"));
}
TEST_CASE("a folder of checkpoints that cannot be listed is an error, one that is not there is empty") {
  TemporaryFolder folder;
  CHECK(CheckpointFolder(folder / "none").steps().empty());
  replace_text(folder / "file", "no folder");
  CHECK_THROWS_WITH(CheckpointFolder(folder / "file").steps(), Catch::Contains("cannot list the checkpoints"));
  CHECK_THROWS_AS(CheckpointFolder(folder / "file").last(), CheckpointError);
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

TEST_CASE("what interrupted processes left is removed, and nothing else") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  for (const int64_t step : {5, 10, 15}) save(checkpoints, run_at(step));
  fs::remove(checkpoints.path(10) + "/COMPLETE");  // killed while it was removed
  fs::create_directories(checkpoints.path(20) + ".tmp/deeper");
  for (const char* other : {"step_7.bak", "step_x", "mine.tmp"}) fs::create_directories(folder / other);
  CHECK(checkpoints.remains() == std::vector<std::string>{checkpoints.path(10), checkpoints.path(20) + ".tmp"});
  const std::string aside = checkpoints.set_aside(15);
  checkpoints.remove_remains();
  CHECK(checkpoints.remains().empty());
  CHECK(checkpoints.steps() == std::vector<int64_t>{5});
  CHECK(fs::exists(aside + "/state.json"));
  for (const char* other : {"step_7.bak", "step_x", "mine.tmp"}) CHECK(fs::exists(folder / other));
}

TEST_CASE("a file BEST that names no step is no best checkpoint") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  CHECK_FALSE(checkpoints.best_is_damaged());
  save(checkpoints, run_at(0));
  for (const char* text : {"", "\n", "many", "5 5", "-"}) {
    write_text_synced(folder / "BEST", text);
    INFO(text);
    CHECK_FALSE(checkpoints.best());
    CHECK(checkpoints.best_is_damaged());
  }
  checkpoints.mark_best(0);
  CHECK(checkpoints.best() == 0);
  CHECK_FALSE(checkpoints.best_is_damaged());
}

TEST_CASE("a failure of one rank to write ends all ranks with its reason") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(5), 2, 2);
  std::vector<std::string> reasons(2);
  test::run_ranks(2, [&](const std::shared_ptr<Communicator>& world) {
    const ProcessGroups groups = groups_of(world->rank(), 2, 2, world);
    RankState state(groups);
    RankTensors tensors;
    // The second rank writes into a folder that is not there.
    if (world->rank() == 1) tensors = {"absent/memory", {{"x", state.parameters.buffer(ParameterGroup::shared).value}}};
    try {
      checkpoints.save(run_at(6), state.parameters, *state.optimizer, groups, {}, tensors);
    } catch (const CheckpointError& error) {
      reasons[static_cast<size_t>(world->rank())] = error.what();
    }
  });
  CHECK_THAT(reasons[0], Catch::Contains("absent/memory") && Catch::Contains("reported by rank 1 of 2"));
  CHECK_THAT(reasons[1], Catch::Contains("absent/memory"));
  CHECK(checkpoints.steps() == std::vector<int64_t>{5});
  CHECK(checkpoints.remains().empty());
}

TEST_CASE("a checkpoint is not written into a folder that was removed") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder / "gone");
  CHECK_THROWS_WITH(save(checkpoints, run_at(1)), Catch::Contains("is gone"));
  CHECK_FALSE(fs::exists(folder / "gone"));
}

TEST_CASE("a checkpoint that cannot be looked into is an error of the checkpoint") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(1));
  fs::remove(checkpoints.path(1) + "/COMPLETE");
  fs::create_symlink("COMPLETE", checkpoints.path(1) + "/COMPLETE");  // a link to itself cannot be followed
  CHECK_THROWS_AS(checkpoints.steps(), CheckpointError);
  CHECK_THROWS_AS(find_checkpoint(checkpoints.path(1), "last"), CheckpointError);
}

TEST_CASE("files are not written through links") {
  TemporaryFolder folder;
  write_text_synced(folder / "target", "precious");
  fs::create_symlink(folder / "target", folder / "x.tmp");
  replace_text(folder / "x", "new");
  CHECK(read_text(folder / "x") == "new");
  CHECK(read_text(folder / "target") == "precious");
  fs::create_symlink(folder / "target", folder / "y");
  write_text_synced(folder / "y", "new");
  CHECK(read_text(folder / "target") == "precious");
}
