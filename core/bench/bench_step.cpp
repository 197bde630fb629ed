#include "core/bench/bench_step.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "comm/profiled_communicator.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/metric_keys.h"
#include "core/machine/instruction_set.h"
#include "core/ops/cpu_kernels.h"
#include "core/plan/measured_compute.h"
#include "core/step/traffic_record.h"
#include "core/step/train_step.h"
#include "core/tensor/compute_parts.h"
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

// Steps on random tokens.
class RandomSteps {
 public:
  RandomSteps(TrainingState& state, const StateSetup& setup, Communicator& world)
      : state_(state),
        setup_(setup),
        world_(world),
        mine_(share_of(setup.config.train.batch, world.size(), world.rank())),
        step_(state, setup.config, setup.groups),
        tokens_(static_cast<size_t>(mine_.count * setup.config.data.sequence + 1)) {}

  // Makes update `i` and returns its seconds, on the slowest rank.
  double run(int64_t i) {
    const TrainConfig& config = setup_.config;
    const int64_t time = config.data.sequence;
    const RandomKey key{1, RandomPurpose::sampling, 0, static_cast<uint64_t>(i)};
    for (size_t t = 0; t < tokens_.size(); ++t) {
      tokens_[t] = static_cast<int32_t>(key.bits(static_cast<uint64_t>(mine_.begin * time) + t) %
                                        static_cast<uint64_t>(setup_.sample.vocab));
    }
    const LocalBatch batch{.sequences = mine_.count,
                           .time = time,
                           .inputs = std::span(tokens_).first(tokens_.size() - 1),
                           .targets = std::span(tokens_).subspan(1),
                           .first_sequence = mine_.begin,
                           .global_sequences = config.train.batch};
    world_.barrier();
    const auto start = Clock::now();
    step_.run(batch, i, 1e-4, 0);
    if (state_.ctx.queue) cuda::synchronise(*state_.ctx.queue);
    world_.barrier();
    return seconds_since(start);
  }

  const StepTimes& times() const { return step_.times(); }

 private:
  TrainingState& state_;
  const StateSetup& setup_;
  Communicator& world_;
  const Share mine_;
  TrainStep step_;
  std::vector<int32_t> tokens_;
};

static MeasuredSteps time_steps(RandomSteps& steps, ComputeParts& parts, const BenchOptions& options) {
  MeasuredSteps measured;
  std::vector<double>& times = measured.seconds;
  for (int64_t i = 0; i < options.warmup + options.steps; ++i) {
    if (i == options.warmup) parts.clear();
    const double seconds = steps.run(i);
    if (i < options.warmup) continue;
    times.push_back(seconds);
    for (double StepTimes::*phase : kPhases) measured.phases.*phase += steps.times().*phase;
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

// The rate of plain products on the cores of all ranks; 0 on a GPU.
static double peak_gflops(const DeviceChoice& device, int threads, Communicator& world) {
  const cpu::KernelTable& kernels = cpu::kernel_table();
  const auto peak_of = device.precision.products == Products::bf16 ? kernels.bf16.peak_gflops : kernels.fma_peak_gflops;
  double gflops = device.device == Device::cpu ? peak_of(threads) : 0;
  world.all_reduce_sum(as_tensor(std::span(&gflops, 1)));
  return gflops;
}

// `times`: of steps of `tokens` tokens, in ascending order.
static void add_speed(Json& line, const std::vector<double>& times, double tokens, double flops_per_token,
                      double peak) {
  const double median = times[times.size() / 2], gflops = flops_per_token * tokens / median / 1e9;
  line["ms"] = median * 1e3;
  line["ms_min"] = times.front() * 1e3;
  line["ms_max"] = times.back() * 1e3;
  line["tokens_per_s"] = tokens / median;
  line["gflops"] = gflops;
  line["peak_gflops"] = peak;
  line["peak_share"] = peak > 0 ? gflops / peak : 0;
}

static void add_phases(Json& line, const StepTimes& phases) {
  line["forward_ms"] = phases.forward * 1e3;
  line["backward_ms"] = phases.backward * 1e3;
  line["reduction_ms"] = phases.reduction * 1e3;
  line["update_ms"] = phases.update * 1e3;
}

// Writes the speed of the parts to the options' file. `phases`: of a step of `tokens` tokens.
static void save_compute(const BenchOptions& options, const ModelCost& cost, const ComputeParts& parts, double tokens,
                         const StepTimes& phases) {
  NetworkConfig network = read_network_or_default(options.network);
  fit_compute(network.compute, cost,
              {.parts = parts.measured(),
               .tokens = tokens,
               .seconds = phases.forward + phases.backward,
               .steps = static_cast<double>(options.steps)});
  write_network(options.network, network);
}

std::string bench_step(const TrainConfig& config, const std::shared_ptr<Communicator>& world, int threads,
                       const DeviceChoice& device, const BenchOptions& options) {
  const auto traffic = std::make_shared<TrafficRecorder>();
  const ProcessGroups groups =
      ProcessGroups::make(profiled(communicator_for(device, config.parallel.communication, world), traffic),
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
  state.ctx.traffic = traffic.get();
  const ModelCost cost = model_cost(config, setup.sample, setup.run);
  ComputeParts parts;
  if (options.timed) parts = ComputeParts(timed_parts(read_network(options.network).compute, cost, options.slower));
  const bool measures =
      !options.network.empty() && !options.timed && world->size() == 1 && device.device == Device::cpu;
  if (options.timed || measures) state.ctx.compute = &parts;
  RandomSteps steps(state, setup, *world);
  const RegionCounts before = options.regions ? options.regions() : RegionCounts{};
  const auto start = Clock::now();
  const MeasuredSteps measured = time_steps(steps, parts, options);
  const double all_seconds = seconds_since(start);
  const RegionCounts after = options.regions ? options.regions() : RegionCounts{};
  const size_t peak = peak_resident_bytes();
  const double tokens = static_cast<double>(config.train.batch * config.data.sequence);
  Json line{{"bench", "step"},
            {"name", config.name},
            {"ranks", world->size()},
            {"threads", threads},
            {"device", device.description},
            {"precision", name_of(device.precision)},
            {"instruction_set", name_of(instruction_set())}};
  add_speed(line, measured.seconds, tokens, summarise(config, vocab).flops_per_token,
            peak_gflops(device, threads, *world));
  line["peak_bytes"] = peak;
  line["planned_bytes"] = plan.total();
  if (device.device == Device::cpu) add_phases(line, measured.phases);
  if (options.regions && threads > 1) {
    add_regions(line, before, after, all_seconds, options.warmup + options.steps, threads);
  }
  if (measures) save_compute(options, cost, parts, tokens, measured.phases);
  if (world->size() > 1) {
    traffic->begin_step();
    steps.run(options.warmup + options.steps);
    line[metric_keys::kCommunication] = to_json(traffic->finish_step(*world));
  }
  return json_text(line);
}

}  // namespace moe
