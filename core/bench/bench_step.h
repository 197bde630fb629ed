// The speed of training steps, together with the rate of plain matrix products on the same cores in the same run.
#pragma once
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "core/step/device_choice.h"

namespace moe {

struct BenchOptions {
  int64_t steps = 10, warmup = 3;
  int64_t vocab = 8192;  // used if config.data.vocab_size is 0
};

// One JSON object: ms (median), tokens_per_s, gflops (useful operations), peak_gflops (core/ops/cpu_kernels.h, of
// all ranks; 0 on a GPU), peak_share = gflops / peak_gflops, peak_bytes (resident, this rank), planned_bytes, and the
// shape.
std::string bench_step(const TrainConfig& config, const std::shared_ptr<Communicator>& world, int threads,
                       const DeviceChoice& device, const BenchOptions& options);

}  // namespace moe
