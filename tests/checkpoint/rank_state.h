// The state of ranks that tests save to checkpoints and read back.
#pragma once
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "comm/self_communicator.h"
#include "core/checkpoint/checkpoint.h"
#include "core/config/train_config.h"
#include "tests/support/thread_ranks.h"

namespace moe::test {

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
inline ProcessGroups groups_of(int rank, int ranks, int expert_parallel, std::shared_ptr<Communicator> world = {}) {
  return {world ? std::move(world) : std::make_shared<SilentRank>(rank, ranks),
          std::make_shared<SilentRank>(rank % expert_parallel, expert_parallel),
          std::make_shared<SilentRank>(rank / expert_parallel, ranks / expert_parallel)};
}

// The parameters and optimizer states of one rank, for a model with `kExperts` experts.
inline constexpr int64_t kExperts = 5;
struct RankState {
  explicit RankState(const ProcessGroups& groups) {
    const Share mine = groups.local_experts(kExperts);
    std::vector<int64_t> experts(static_cast<size_t>(mine.count));
    std::iota(experts.begin(), experts.end(), mine.begin);
    parameters.add({}, {"embedding.weight", Shape{7, 3}, ParameterGroup::shared, {}});
    parameters.add({}, {"norm.weight", Shape{3}, ParameterGroup::shared, {}, false});
    parameters.add(
        {}, {"blocks.0.experts.{}.input.weight", Shape{mine.count, 4, 3}, ParameterGroup::expert, {}, true, experts});
    parameters.add(
        {}, {"blocks.0.experts.{}.output.weight", Shape{mine.count, 3, 4}, ParameterGroup::expert, {}, true, experts});
    parameters.add({}, {"blocks.0.experts.{}.bias", Shape{mine.count, 3}, ParameterGroup::expert, {}, false, experts});
    parameters.allocate(ctx, DType::f32);
    optimizer = Choice<Optimizer>("adamw").make(Optimizer::Setup{ctx, parameters, {1, 1, 1}});
  }

  // Calls visit("value" or the kind of state, the named tensor) for every tensor.
  template <class Visit>
  void for_each(Visit visit) {
    for (const ParameterGroup group : kTrainedGroups) {
      parameters.for_each_named(group, parameters.buffer(group).value,
                                [&](const NamedTensor& t) { visit("value", t); });
      for (size_t kind = 0; kind < optimizer->state_kinds().size(); ++kind) {
        optimizer->visit_state(group, kind,
                               [&](const NamedTensor& t) { visit(optimizer->state_kinds()[kind].name, t); });
      }
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

inline void save(const CheckpointFolder& folder, const RunState& run, int ranks = 1, int expert_parallel = 1,
                 const std::function<void()>& require_folder = {}) {
  test::run_ranks(ranks, [&](const std::shared_ptr<Communicator>& world) {
    const ProcessGroups groups = groups_of(world->rank(), ranks, expert_parallel, world);
    RankState state(groups);
    state.fill();
    folder.save(run, state.parameters, *state.optimizer, groups, {{"config.yaml", "name: x\n"}}, {}, require_folder);
  });
}

inline RunState run_at(int64_t step) {
  RunState run;
  run.step = step;
  return run;
}

}  // namespace moe::test
