// Measures which share of a router's choices changes from one checkpoint to another, that is, how far the assignment of
// tokens to experts is still unsettled.
#pragma once
#include <vector>

#include "core/evaluate/evaluator.h"
#include "core/reload/load_run.h"

namespace moe {

// For every MoE layer, the chosen experts of every scored token that evaluate() processed on this rank, in order.
using Choices = std::vector<RoutingRecord>;

// Calls evaluate() and records the choices.
Evaluation evaluate_with_choices(LoadedRun& run, const Task& task, const std::string& split,
                                 const EvaluationOptions& options, Choices& choices);

// Per layer: the mean over tokens of the share of `now`'s experts that are not among `before`'s. Collective. Throws
// CheckpointError for checkpoints of different shape.
std::vector<double> churn(const Choices& now, const Choices& before, LoadedRun& now_run, LoadedRun& before_run);

}  // namespace moe
