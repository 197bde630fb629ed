// The speed of single ops on any device, at shapes that occur in training steps.
#pragma once
#include <functional>
#include <string>

#include "core/step/device_choice.h"

namespace moe {

struct OpBenchOptions {
  std::string only;  // run only ops whose name contains one of these texts, with commas between; empty: all
  std::string who = "moe-train";  // label of the rows
  double shrink = 1;              // divides tokens, vocabulary and parameters, for a small machine
  double seconds = 0.2;           // duration of one measurement; the result is the median of five
};

// Calls print(line) with one JSON object per row: op, shape, us (median), us_min, us_max, and tflops (useful
// operations) or gbps (bytes that must move: each input read once, each output written once). The first two rows are
// the upper limits of the device: `copy` and `dense`. Inputs are random, not zeros, and larger than caches.
void bench_ops(const DeviceChoice& device, const OpBenchOptions& options,
               const std::function<void(const std::string&)>& print);

}  // namespace moe
