// Between the measured time of a model's parts and the speed that plans are made of.
#pragma once
#include "core/model/model_cost.h"
#include "core/plan/network.h"
#include "core/tensor/compute_parts.h"

namespace moe {

// Steps of one rank.
struct MeasuredCompute {
  ComputeParts::Table parts;  // of all steps
  double tokens = 0;          // of a step
  double seconds = 0;         // of a step's forward and backward
  double steps = 1;
};

// Sets the speed of the parts that were measured; what forward and backward took beyond them is counted as passes over
// the rows.
void fit_compute(ComputeConfig& compute, const ModelCost& cost, const MeasuredCompute& measured);

// How long the parts take with such a speed, `slower` times as long: one row each, means over the blocks that have
// them.
ComputeParts::Table timed_parts(const ComputeConfig& compute, const ModelCost& cost, double slower);

}  // namespace moe
