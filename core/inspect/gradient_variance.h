// Measures the variance of a batch's gradient under a run's sampler and under uniform sampling, at the same parameters.
// The possible gain of a curriculum or of importance sampling shows here before it shows in a loss.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/step/device_choice.h"
#include "core/tasks/task.h"

namespace moe {

struct GradientVariance {
  std::string sampler;
  double loss = 0;         // mean over the samples as drawn, nats
  double mean_square = 0;  // mean square of the norm of a batch's gradient
  double variance = 0;     // variance of a batch's gradient: the trace of its covariance, unbiased
  double cosine = 1;       // between the mean gradient and uniform sampling's
  // Squared norm of the gradient's expectation, unbiased; the estimate may be below 0 where the true value is close to
  // 0.
  double signal() const { return mean_square - variance; }
};

struct GradientVarianceReport {
  std::string checkpoint;
  int64_t step = 0, batches = 0, batch = 0, samples = 0;
  std::vector<GradientVariance> samplers;  // the run's sampler, then uniform unless it is the same
};

// Draws `batches` batches (at least 2) by each sampler, as the run's next updates would, and computes their gradients
// of the whole objective (auxiliary losses, weights, dropout and noise as in training) without an update. A model with
// a context memory starts with an empty one; uniform samples are not consecutive, so their memory is always empty.
// `which`: last, best or a step. `data`: path of other data than the run's, or empty. Collective. Throws
// CheckpointError, DataError, DeviceError, UsageError.
GradientVarianceReport gradient_variance(const std::string& run_or_checkpoint, const std::string& which,
                                         int64_t batches, const std::string& data, std::shared_ptr<Communicator> world,
                                         const DeviceChoice& device);

std::string to_words(const GradientVarianceReport& report);
Json to_json(const GradientVarianceReport& report);

}  // namespace moe
