#include "core/checkpoint/checkpoint.h"

#include <barrier>
#include <filesystem>
#include <functional>
#include <limits>
#include <thread>

#include "comm/self_communicator.h"
#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/tensor_file.h"
#include "core/config/config_reader.h"
#include "core/config/train_config.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
namespace fs = std::filesystem;

// One of `size` ranks whose only communication is the barrier, which is all that a checkpoint needs.
class WaitingRank : public SelfCommunicator {
 public:
  WaitingRank(int rank, int size, std::barrier<>* meeting = nullptr) : rank_(rank), size_(size), meeting_(meeting) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void barrier() override {
    if (meeting_) meeting_->arrive_and_wait();
  }

 private:
  int rank_, size_;
  std::barrier<>* meeting_;
};

static ProcessGroups groups_of(int rank, int ranks, int expert_parallel, std::barrier<>* meeting) {
  return {std::make_shared<WaitingRank>(rank, ranks, meeting),
          std::make_shared<WaitingRank>(rank % expert_parallel, expert_parallel),
          std::make_shared<WaitingRank>(rank / expert_parallel, ranks / expert_parallel)};
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
  std::barrier<> meeting(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const ProcessGroups groups = groups_of(rank, ranks, expert_parallel, &meeting);
      RankState state(groups);
      state.fill();
      folder.save(run, state.parameters, *state.optimizer, groups, {{"config.yaml", "name: x\n"}});
    });
  }
  for (std::thread& thread : threads) thread.join();
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
        RankState state(groups_of(rank, parts, parts, nullptr));
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
  const ProcessGroups groups = groups_of(0, 1, 1, nullptr);
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
  replace_text(file, json_text(json, 2));
  const ProcessGroups groups = groups_of(0, 1, 1, nullptr);
  RankState state(groups);
  load_tensors(checkpoints.path(3), state.parameters, state.optimizer.get());
  CHECK(state.num_wrong() == 0);
}

TEST_CASE("an optimizer without states writes no file for them") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  const ProcessGroups groups = groups_of(0, 1, 1, nullptr);
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
    const ProcessGroups groups = groups_of(0, 1, 1, nullptr);
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
