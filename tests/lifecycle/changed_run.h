// Small runs whose experts change, for the tests of moe.lifecycle.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/lifecycle/expert_lifecycle.h"
#include "core/lifecycle/moved_tensors.h"
#include "tests/support/tiny_run.h"

namespace moe::test {

inline constexpr int64_t kVocab = 19;

inline TrainConfig config_of(const std::string& moe, const std::string& more = "") {
  return config_from(
      fmt::format("{{model: {{layers: 2, d_model: 16, attention: {{heads: 2}}, init_std: 0.2}}, data: {{sequence: 8}}, "
                  "train: {{batch: 4, steps: 100}}, moe: {{d_ff: 12, {}}}{}}}",
                  moe, more));
}

inline ExpertChange change_of(const std::string& kind, const ExpertNumbers& before, const ExpertMapping& mapping,
                              bool scale_k, size_t layers = 2) {
  ExpertNumbers after{mapping.after(), before.k_factor};
  if (scale_k) after.k_factor *= static_cast<double>(mapping.after()) / static_cast<double>(before.experts);
  ExpertChange change{kind, LayerNumbers(layers, before), LayerNumbers(layers, after), 0, 0, {}};
  change.mappings.assign(layers, mapping);
  return change;
}

inline ExpertMapping doubled(int64_t experts) {
  std::vector<int64_t> all;
  for (int64_t e = 0; e < experts; ++e) all.push_back(e);
  return growing(experts, all, false);
}

// The run after a change, with the mapped tensors of `run`.
inline std::unique_ptr<TinyRun> changed(TinyRun& run, const ExpertChange& change, ProcessGroups groups,
                                        int64_t step = 0) {
  auto next = std::make_unique<TinyRun>(with_experts(run.config, change.after), kVocab, groups);
  const MovedTensors moved(run.state, run.groups, next->groups, change, step);
  moved.write_to(next->state);
  return next;
}

inline void train(TinyRun& run, int64_t updates) {
  for (int64_t i = 0; i < updates; ++i) {
    run.run(RandomBatch(run.config, kVocab, 7, static_cast<uint64_t>(i)), i, 3e-3);
  }
}

}  // namespace moe::test
