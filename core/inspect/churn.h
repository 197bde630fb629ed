// How many of a router's choices change from one checkpoint to another: the part of training that is spent on finding
// out who does what.
#pragma once
#include <vector>

#include "core/evaluate/evaluator.h"
#include "core/reload/load_run.h"

namespace moe {

// Every MoE layer's chosen experts for every token that evaluate() passed through this rank, in order.
using Choices = std::vector<std::vector<int32_t>>;

// evaluate(), keeping the choices.
Evaluation evaluate_with_choices(LoadedRun& run, const Task& task, const std::string& split,
                                 const EvaluationOptions& options, Choices& choices);

// Per layer: the mean over tokens of the share of `now`'s experts that `before` had not chosen. Collective. Throws
// CheckpointError for checkpoints of different shape.
std::vector<double> churn(const Choices& now, const Choices& before, LoadedRun& now_run, LoadedRun& before_run);

}  // namespace moe
