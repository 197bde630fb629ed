// The speed of training steps, together with the rate of plain matrix products on the same cores in the same run.
#pragma once
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "core/bench/parallel_regions.h"
#include "core/step/device_choice.h"

namespace moe {

struct BenchOptions {
  int64_t steps = 10, warmup = 3;
  int64_t vocab = 8192;                 // used if config.data.vocab_size is 0
  RegionCounts (*regions)() = nullptr;  // counts the threads' work, if the program can
  // With one rank on a CPU: the file to which the speed of the model's parts is written (core/plan/network.h). With
  // `timed`: the file that says it.
  std::string network;
  bool timed = false;  // attention, feed-forward layers, experts, head and update wait in place of computing
  double slower = 1;   // with `timed`: times as long
};

// One JSON object: ms (median), tokens_per_s, gflops (useful operations), peak_gflops (core/ops/cpu_kernels.h, of
// all ranks; 0 on a GPU), peak_share = gflops / peak_gflops, peak_bytes (resident, this rank), planned_bytes, and the
// shape. With several threads and `regions`: per step of this rank regions, barriers, serial_ms (outside of regions),
// and planned_ms_32, what 32 threads would take if the time in regions were divided among them, memory kept up, and a
// barrier took 10 microseconds. With several ranks: communication, what one more step sent, as in metrics.jsonl.
std::string bench_step(const TrainConfig& config, const std::shared_ptr<Communicator>& world, int threads,
                       const DeviceChoice& device, const BenchOptions& options);

}  // namespace moe
