// An optimizer whose state is divided among ranks (optimizer.shard).
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <map>
#include <mutex>

#include "core/checkpoint/checkpoint.h"
#include "core/config/config_reader.h"
#include "core/config/config_tree.h"
#include "tests/support/catch.h"
#include "tests/support/optimizer_variants.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

namespace {

constexpr int64_t kVocab = 29;
using Values = std::map<std::string, std::vector<double>>;

// About 130,000 parameters: several blocks of the norm, and buckets of two of them.
TrainConfig config_of(const std::string& optimizer, bool shard, const std::string& more = "") {
  std::string kind = optimizer;
  kind.insert(kind.size() - 1, fmt::format(", shard: {}", shard));
  TrainConfig config;
  read_config(parse_config(fmt::format("model: {{layers: 2, d_model: 64, attention: {{heads: 4}}, init_std: 0.05}}\n"
                                       "moe: {{experts: 4, d_ff: 48}}\n"
                                       "data: {{sequence: 12}}\ntrain: {{batch: 6, clip_norm: 0.5}}\n"
                                       "parallel: {{bucket: 30000}}\noptimizer: {}\n{}",
                                       kind, more),
                           "a test"),
              config);
  return config;
}

void train(TinyRun& run, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const StepOutcome outcome = run.run(RandomBatch(run.config, kVocab, 5, static_cast<uint64_t>(i)), i, 3e-3);
    MOE_CHECK(outcome.finite(), "step {}", i);
  }
}

// What the ranks have after `steps` updates.
std::map<int, Values> trained(const TrainConfig& config, int ranks, int width, int64_t steps) {
  std::mutex mutex;
  std::map<int, Values> result;
  test::run_ranks(ranks, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(config, kVocab, ProcessGroups::make(world, width, 4));
    train(run, 0, steps);
    Values values = everything_named(run);
    const std::scoped_lock lock(mutex);
    result[world->rank()] = std::move(values);
  });
  return result;
}

}  // namespace

TEST_CASE("a divided optimizer makes the bits of one that is not, for every optimizer") {
  for (const std::string& optimizer : test::optimizer_variants()) {
    for (const auto& [ranks, width] : {std::pair{2, 1}, {2, 2}, {4, 2}, {3, 1}}) {
      INFO(optimizer << ", " << ranks << " ranks, " << width << " share the experts");
      CHECK(trained(config_of(optimizer, true), ranks, width, 4) ==
            trained(config_of(optimizer, false), ranks, width, 4));
    }
  }
}

TEST_CASE("a divided optimizer makes the bits of one that is not, with what is sent in bf16 and after backward") {
  for (const char* more : {"parallel: {reduce_in: bf16}", "parallel: {reduce_during_backward: false}"}) {
    INFO(more);
    const auto with = [&](bool shard) {
      TrainConfig config = config_of("{kind: adamw}", shard);
      read_config(parse_config(more, "a test"), config);
      config.train.micro_batches = 2;
      return trained(config, 2, 1, 3);
    };
    CHECK(with(true) == with(false));
  }
}

TEST_CASE("a divided optimizer needs its share of the memory") {
  for (const auto& [ranks, width] : {std::pair{2, 1}, {4, 2}, {3, 1}}) {
    INFO(ranks << " ranks, " << width << " share the experts");
    std::mutex mutex;
    std::vector<std::string> wrong;
    test::run_ranks(ranks, [&, n = ranks, w = width](std::shared_ptr<Communicator> world) {
      TrainConfig config = config_of("{kind: adamw}", true);
      config.model.d_model = 256;
      const ProcessGroups groups = ProcessGroups::make(world, w, 4);
      TinyRun run(config, kVocab, groups);
      const auto bytes = [&](ParameterGroup group) {
        return 2.0 * static_cast<double>(run.state.parameters.buffer(group).value.bytes());
      };
      const double expected = bytes(ParameterGroup::shared) / n + bytes(ParameterGroup::expert) / (n / w);
      const auto actual = static_cast<double>(run.state.optimizer->bytes());
      const std::scoped_lock lock(mutex);
      if (std::abs(actual / expected - 1) > 0.1) wrong.push_back(fmt::format("{} bytes, not {}", actual, expected));
    });
    CHECK(wrong == std::vector<std::string>{});
  }
}

TEST_CASE("checkpoints of a divided optimizer are those of another one, in both directions and for other ranks") {
  const auto config = [](bool shard) { return config_of("{kind: adamw}", shard); };
  for (const bool shard_first : {true, false}) {
    for (const auto& [ranks, width] : {std::pair{1, 1}, {2, 1}, {2, 2}, {4, 2}}) {
      INFO("divided " << (shard_first ? "before" : "after") << ", then " << ranks << " ranks, " << width);
      const TemporaryFolder folder;
      const CheckpointFolder checkpoints(folder.path());
      std::mutex mutex;
      Values before, after;
      test::run_ranks(4, [&](std::shared_ptr<Communicator> world) {
        TinyRun run(config(shard_first), kVocab, ProcessGroups::make(world, 2, 4));
        train(run, 0, 2);
        RunState state;
        state.step = 2;
        checkpoints.save(state, run.state.parameters, *run.state.optimizer, run.groups, {});
        Values values = everything_named(run);
        const std::scoped_lock lock(mutex);
        before.merge(values);
      });
      test::run_ranks(ranks, [&, w = width](std::shared_ptr<Communicator> world) {
        TinyRun run(config(!shard_first), kVocab, ProcessGroups::make(world, w, 4));
        load_tensors(checkpoints.path(2), run.state.parameters, run.state.optimizer.get());
        Values values = everything_named(run);
        const std::scoped_lock lock(mutex);
        after.merge(values);
      });
      CHECK(before == after);
    }
  }
}

TEST_CASE("a rank that cannot write its part of a divided checkpoint lets no other rank wait") {
  // Files end at this size, as on a full disk: in the model's tensors, in the optimizer's, or in a rank's own.
  struct FileLimit {
    explicit FileLimit(rlim_t bytes) {
      getrlimit(RLIMIT_FSIZE, &before);
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{bytes, before.rlim_max};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileLimit() { setrlimit(RLIMIT_FSIZE, &before); }
    rlimit before{};
  };
  for (const rlim_t bytes : {20'000, 250'000, 700'000}) {
    INFO(bytes);
    const TemporaryFolder folder;
    const CheckpointFolder checkpoints(folder.path());
    std::mutex mutex;
    int errors = 0;
    const auto save = [&](std::shared_ptr<Communicator> world) {
      TinyRun run(config_of("{kind: adamw}", true), kVocab, ProcessGroups::make(world, 1, 4));
      RunState state;
      state.step = 1;
      std::vector<float> own(300'000);
      RankTensors of_rank{.name = "own", .tensors = {}};
      if (world->rank() == 1) of_rank.tensors.push_back({.name = "x", .tensor = as_tensor(std::span(own))});
      try {
        checkpoints.save(state, run.state.parameters, *run.state.optimizer, run.groups, {}, of_rank);
      } catch (const CheckpointError&) {
        const std::scoped_lock lock(mutex);
        ++errors;
      }
    };
    {
      const FileLimit limit(bytes);
      test::run_ranks(2, save);
    }
    CHECK(errors == 2);
    CHECK(checkpoints.steps().empty());
  }
}
