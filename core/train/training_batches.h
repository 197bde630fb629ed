// A step's batch: this rank's share of the samples that the curriculum draws, loaded by the task.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "core/step/local_batch.h"
#include "core/tasks/task.h"
#include "data/curriculum/curriculum.h"
#include "data/mixture_sampler.h"

namespace moe {

class TrainingBatches {
 public:
  // The references must outlive this object. `shift` is added to an update's number when its samples are drawn.
  TrainingBatches(const TrainConfig& config, const Task& task, Curriculum& curriculum, const RunLength& run,
                  int64_t shift);

  // The batch of an update, counted from 0; valid until the next call. The ranks of `world` share the batch. Throws
  // DataError.
  LocalBatch draw(int64_t step, const Communicator& world);
  // The first samples of the latest batch, whichever ranks they belong to, and the places of each.
  void load_first(int64_t samples, Batch& batch) const;
  int64_t time() const { return time_; }
  // The samples of the latest batch, on all ranks.
  std::span<const SampleVisit> visits() const { return visits_; }

 private:
  const TrainConfig& config_;
  const Task& task_;
  Curriculum& curriculum_;
  const int64_t shift_;
  std::optional<MixtureSampler> mixture_;  // for tasks with several sources
  // Reused between steps.
  Batch batch_;
  std::vector<SampleVisit> visits_;
  std::vector<double> weights_;
  int64_t time_ = 0;
};

}  // namespace moe
