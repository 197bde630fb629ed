#include <filesystem>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/tensor_file.h"
#include "core/config/config_reader.h"
#include "core/config/train_config.h"
#include "tests/checkpoint/rank_state.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
using namespace moe::test;

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
