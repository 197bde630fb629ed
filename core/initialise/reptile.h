// A meta-learned start (init.reptile): Reptile (Nichol, Achiam and Schulman, 2018) over domains, before step 0. In a
// round every domain makes some steps of gradient descent from the same weights, and the weights go a part of the way
// to the mean of what the domains have made of them: to where a few steps lead far in each.
#pragma once
#include <functional>

#include "core/step/train_step.h"

namespace moe {

// This rank's share of batch `index` of a domain; valid until the next call.
using DomainSource = std::function<LocalBatch(int64_t domain, int64_t index)>;

struct ReptileReport {
  double tokens = 0;  // that gradients were taken of
  // Mean loss of the domains' first steps of a round, nats: in the first round, and in the last.
  double first_loss = 0, last_loss = 0;
};

// w += step_size * mean over domains of (w_domain - w), where w_domain = w - inner_rate * gradient, inner_steps times;
// of the parameters that init.reptile.parameters names. The objective is that of training (balance losses too) at
// update 0, without clipping and weight decay; dropout and noise are drawn by a seed of their own for each step.
// Differences are taken in f64 from exact values. Collective; layouts differ by rounding, as they do in training.
// Leaves the optimizer's moments as they were and gradients at zero. Throws DivergedError.
ReptileReport start_by_reptile(TrainingState& state, TrainStep& step, const TrainConfig& config,
                               const DomainSource& batches);

}  // namespace moe
