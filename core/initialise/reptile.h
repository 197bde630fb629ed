// A meta-learned initialisation (init.reptile): Reptile (Nichol, Achiam and Schulman, 2018) over domains, before step
// 0. In each round every domain makes some steps of gradient descent from the same weights, and the weights move part
// of the way to the mean of the domains' results. So training from them makes fast progress on each domain within a few
// steps.
#pragma once
#include <functional>

#include "core/step/train_step.h"

namespace moe {

// Returns this rank's slice of batch `index` of a domain; valid until the next call.
using DomainSource = std::function<LocalBatch(int64_t domain, int64_t index)>;

struct ReptileReport {
  double tokens = 0;  // tokens for which gradients were computed
  // Mean loss of the domains' first steps in a round, nats: in the first round, and in the last.
  double first_loss = 0, last_loss = 0;
};

// w += step_size * mean over domains of (w_domain - w), where w_domain results from inner_steps steps w - inner_rate *
// gradient, for the parameters that init.reptile.parameters selects. The objective is the training objective (including
// balance losses) at update 0, without clipping and weight decay. Dropout and noise have a separate seed for each step.
// Differences are computed in f64 from exact values. Collective; layouts differ by rounding, as in training. Does not
// change the optimizer's moments and leaves gradients at zero. Throws DivergedError.
ReptileReport start_by_reptile(TrainingState& state, TrainStep& step, const TrainConfig& config,
                               const DomainSource& batches);

}  // namespace moe
