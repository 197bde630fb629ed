// How much a batch's gradient scatters: a run's sampler against uniform sampling, at the same parameters. What a
// curriculum or importance sampling may gain is here before it is in a loss.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/step/device_choice.h"
#include "core/tasks/task.h"

namespace moe {

struct GradientVariance {
  std::string sampler;
  double loss = 0;         // mean over the batches' samples as they were drawn, nats
  double mean_square = 0;  // of the norm of a batch's gradient
  double variance = 0;     // of it: the trace of its covariance, unbiased
  double cosine = 1;       // between the mean gradient and uniform sampling's
  // Squared norm of the gradient's expectation, unbiased; may come out below 0 where there is next to none.
  double signal() const { return mean_square - variance; }
};

struct GradientVarianceReport {
  std::string checkpoint;
  int64_t step = 0, batches = 0, batch = 0, samples = 0;
  std::vector<GradientVariance> samplers;  // of the run, then uniform unless it is the same
};

// Draws `batches` batches (2 at least) by each sampler, as the run's next updates would, and computes their gradients
// of the whole objective (auxiliary losses, weights, dropout and noise as in training) without an update. A model with
// a memory starts with nothing remembered; uniform samples follow nothing, so they never have anything to remember.
// `which`: last, best or a step. `data`: other than the run's, or empty. Collective. Throws CheckpointError, DataError,
// DeviceError, UsageError.
GradientVarianceReport gradient_variance(const std::string& run_or_checkpoint, const std::string& which,
                                         int64_t batches, const std::string& data, std::shared_ptr<Communicator> world,
                                         const DeviceChoice& device);

std::string to_words(const GradientVarianceReport& report);
nlohmann::ordered_json to_json(const GradientVarianceReport& report);

}  // namespace moe
