#include "core/bench/bench_step.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/machine/instruction_set.h"
#include "core/ops/cpu_kernels.h"
#include "core/step/train_step.h"
#include "core/tensor/device.h"

namespace moe {

using Clock = std::chrono::steady_clock;
static double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

static size_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

constexpr double StepTimes::*kPhases[] = {&StepTimes::forward, &StepTimes::backward, &StepTimes::reduction,
                                          &StepTimes::update};

// Seconds of each step after the warm-up, in ascending order, on random tokens, and the means of their phases.
struct MeasuredSteps {
  std::vector<double> seconds;
  StepTimes phases;
};

static MeasuredSteps time_steps(TrainingState& state, const StateSetup& setup, Communicator& world,
                                const BenchOptions& options) {
  const TrainConfig& config = setup.config;
  const int64_t time = config.data.sequence, vocab = setup.sample.vocab;
  const Share mine = share_of(config.train.batch, world.size(), world.rank());
  TrainStep step(state, config, setup.groups);
  std::vector<int32_t> tokens(static_cast<size_t>(mine.count * time + 1));
  MeasuredSteps measured;
  std::vector<double>& times = measured.seconds;
  for (int64_t i = 0; i < options.warmup + options.steps; ++i) {
    const RandomKey key{1, RandomPurpose::sampling, 0, static_cast<uint64_t>(i)};
    for (size_t t = 0; t < tokens.size(); ++t) {
      tokens[t] =
          static_cast<int32_t>(key.bits(static_cast<uint64_t>(mine.begin * time) + t) % static_cast<uint64_t>(vocab));
    }
    const LocalBatch batch{.sequences = mine.count,
                           .time = time,
                           .inputs = std::span(tokens).first(tokens.size() - 1),
                           .targets = std::span(tokens).subspan(1),
                           .first_sequence = mine.begin,
                           .global_sequences = config.train.batch};
    world.barrier();
    const auto start = Clock::now();
    step.run(batch, i, 1e-4, 0);
    if (state.ctx.queue) cuda::synchronise(*state.ctx.queue);
    world.barrier();
    if (i < options.warmup) continue;
    times.push_back(seconds_since(start));
    for (double StepTimes::*phase : kPhases) measured.phases.*phase += step.times().*phase;
  }
  std::sort(times.begin(), times.end());
  for (double StepTimes::*phase : kPhases) measured.phases.*phase /= static_cast<double>(times.size());
  return measured;
}

// What `steps` steps of `threads` threads did together, in `all_seconds`.
static void add_regions(Json& line, const RegionCounts& before, const RegionCounts& after, double all_seconds,
                        int64_t steps, int threads) {
  constexpr double kThreads = 32, kBarrierSeconds = 10e-6;
  const double count = static_cast<double>(steps), inside = after.seconds - before.seconds;
  const double barriers = static_cast<double>(after.barriers - before.barriers), serial = all_seconds - inside;
  if (after.regions == before.regions) return;
  line["regions"] = static_cast<double>(after.regions - before.regions) / count;
  line["barriers"] = barriers / count;
  line["serial_ms"] = serial / count * 1e3;
  line["planned_ms_32"] = (serial + inside * threads / kThreads + barriers * kBarrierSeconds) / count * 1e3;
}

std::string bench_step(const TrainConfig& config, const std::shared_ptr<Communicator>& world, int threads,
                       const DeviceChoice& device, const BenchOptions& options) {
  const ProcessGroups groups = ProcessGroups::make(communicator_for(device, config.parallel.communication, world),
                                                   config.parallel.expert, smallest_experts(config.model, config.moe));
  const int64_t most = config.model.vocabulary_rows(options.vocab);  // of random ids
  const int64_t vocab = config.data.vocab_size > 0 ? config.data.vocab_size : std::min(options.vocab, most);
  const StateSetup setup{.config = config,
                         .sample = vocab,
                         .groups = groups,
                         .run = {options.warmup + options.steps, 1, 1},
                         .precision = device.precision,
                         .device = device.device,
                         .device_index = device.index,
                         .queue = device.queue};
  const MemoryPlan plan = plan_memory(setup);
  TrainingState state(setup, plan, true);
  const RegionCounts before = options.regions ? options.regions() : RegionCounts{};
  const auto start = Clock::now();
  const MeasuredSteps measured = time_steps(state, setup, *world, options);
  const std::vector<double>& times = measured.seconds;
  const double all_seconds = seconds_since(start);
  const RegionCounts after = options.regions ? options.regions() : RegionCounts{};
  const size_t peak = peak_resident_bytes();
  const cpu::KernelTable& kernels = cpu::kernel_table();
  const auto peak_of = device.precision.products == Products::bf16 ? kernels.bf16.peak_gflops : kernels.fma_peak_gflops;
  double peak_gflops = device.device == Device::cpu ? peak_of(threads) : 0;
  world->all_reduce_sum(as_tensor(std::span(&peak_gflops, 1)));

  const double median = times[times.size() / 2];
  const double count = static_cast<double>(config.train.batch * config.data.sequence);
  const double gflops = summarise(config, vocab).flops_per_token * count / median / 1e9;
  Json line{{"bench", "step"},
            {"name", config.name},
            {"ranks", world->size()},
            {"threads", threads},
            {"device", device.description},
            {"precision", name_of(device.precision)},
            {"instruction_set", name_of(instruction_set())},
            {"ms", median * 1e3},
            {"ms_min", times.front() * 1e3},
            {"ms_max", times.back() * 1e3},
            {"tokens_per_s", count / median},
            {"gflops", gflops},
            {"peak_gflops", peak_gflops},
            {"peak_share", peak_gflops > 0 ? gflops / peak_gflops : 0},
            {"peak_bytes", peak},
            {"planned_bytes", plan.total()}};
  if (device.device == Device::cpu) {
    line["forward_ms"] = measured.phases.forward * 1e3;
    line["backward_ms"] = measured.phases.backward * 1e3;
    line["reduction_ms"] = measured.phases.reduction * 1e3;
    line["update_ms"] = measured.phases.update * 1e3;
  }
  if (options.regions && threads > 1) {
    add_regions(line, before, after, all_seconds, options.warmup + options.steps, threads);
  }
  return json_text(line);
}

}  // namespace moe
