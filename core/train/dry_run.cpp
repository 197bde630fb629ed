#include "core/train/dry_run.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "core/base/integer.h"
#include "core/config/field_walker.h"
#include "core/config/recompute.h"
#include "core/convert/why_not_exportable.h"
#include "core/lifecycle/lifecycle_plan.h"
#include "core/machine/memory.h"
#include "core/record/routing_tracer.h"
#include "core/record/run_folder.h"
#include "core/step/device_choice.h"
#include "core/tensor/device.h"
#include "core/train/check_run.h"
#include "core/train/free_space.h"
#include "data/curriculum/curriculum.h"

namespace moe {

// Schedules that do not reach their value in the run.
static std::vector<std::string> long_warmups(TrainConfig config, const RunLength& run) {
  class Visitor : public FieldWalker {
   public:
    explicit Visitor(const RunLength& length) : run_(length) {}
    std::vector<std::string> notes;

   private:
    void schedule(const char* name, ScheduleField& value, const char*) override {
      const double warmup = value.make(run_).warmup();
      if (warmup <= static_cast<double>(run_.total_updates)) return;
      notes.push_back(
          fmt::format("{}: the warm-up of {} updates is longer than the run of {}: its value is never reached",
                      key(name), warmup, run_.total_updates));
    }
    const RunLength run_;
  } visitor(run);
  visitor.enter("", config);
  return visitor.notes;
}

// Doubtful settings that have nothing to do with experts.
static std::vector<std::string> lint_run(const TrainConfig& config, int64_t ranks, const RunLength& run) {
  std::vector<std::string> notes;
  if (config.train.batch < ranks)
    notes.push_back(fmt::format("train.batch is {}: {} of {} ranks get no samples", config.train.batch,
                                ranks - config.train.batch, ranks));
  if (config.train.batch % (ranks * config.train.micro_batches) != 0) {
    notes.push_back("train.batch is not a multiple of ranks x micro-batches: the ranks' shares are uneven");
  }
  for (const std::string& note : long_warmups(config, run)) notes.push_back(note);
  if (models().at(config.task).allowed_causality != Causality::causal && config.model.attention.causal)
    notes.push_back("model.attention.causal is true: a patch or token does not attend to later ones of its sample");
  if (config.train.clip_norm.make(run).largest() == 0)
    notes.push_back("train.clip_norm is 0: without clipping, one bad batch can make the run diverge");
  if (const ReptileConfig& r = config.init.reptile; r.rounds > 0) {
    notes.push_back(
        fmt::format("init.reptile trains on as many batches as {} updates, which are not included in the run's counts",
                    r.rounds * r.domains * r.inner_steps));
  }
  return notes;
}

std::vector<std::string> lint(const TrainConfig& config, int64_t time, int64_t ranks, int64_t expert_parallel,
                              int64_t k, const RunLength& run) {
  std::vector<std::string> notes = lint_run(config, ranks, run);
  const std::vector<bool> layers = config.model.moe_layers();
  if (std::find(layers.begin(), layers.end(), true) == layers.end()) {
    notes.push_back("no block is MoE: this is a dense model");
    return notes;
  }
  const LayerNumbers numbers = configured_experts(config.model, config.moe);
  const auto uneven = std::find_if(numbers.begin(), numbers.end(),
                                   [&](const ExpertNumbers& n) { return n.experts % expert_parallel != 0; });
  if (uneven != numbers.end()) {
    notes.push_back(fmt::format("{} experts on {} ranks: some ranks hold one expert more than others", uneven->experts,
                                expert_parallel));
  }
  for (const Choice<ExpertEvent>& choice : config.moe.lifecycle.items()) {
    const auto event = choice.make(ExpertEvent::Setup{run});
    if (event->kind() == "grow" && event->scales_k() && event->noise() == 0)
      notes.push_back(
          "moe.lifecycle: grow with scale_k and without noise: copies that are always chosen together get the same "
          "gradients and stay equal; set noise: 0.01");
  }
  if (k == fewest(numbers)) notes.push_back("every token goes to all experts: the model is not sparse");
  if (k == 1 && measured_signals(config.curriculum)[index_of(SampleSignal::expert_variance)])
    notes.push_back("curriculum.signals.expert_variance is always 0 with one expert per token");
  double coefficients = 0;
  bool global = false;
  for (const Choice<BalanceLoss>& choice : config.moe.balance.items()) {
    const auto loss =
        choice.make(BalanceLoss::Setup{config.moe.experts, config.model.d_model, config.moe.router.kind(), run});
    coefficients += loss->coefficient().largest();
    global |= loss->scope() == BalanceLoss::Scope::global && loss->coefficient().largest() > 0;
  }
  if (coefficients == 0) notes.push_back("no balance loss is active (moe.balance): routers collapse easily");
  if (global && config.train.micro_batches > 1) {
    notes.push_back(
        "balance losses of scope global need the whole step's routing: with micro-batches every step needs an "
        "additional forward pass (not with scope: rank)");
  }
  const double rows =
      static_cast<double>(config.train.batch * time * k) /
      static_cast<double>(config.train.micro_batches * most(numbers) * std::max<int64_t>(ranks / expert_parallel, 1));
  if (rows < 16)
    notes.push_back(fmt::format(
        "an expert gets {:.1f} tokens per micro-batch on average: computation is slow and balance losses are noisy",
        rows));
  return notes;
}

// Code, libraries and their buffers: the resident memory of this process before it has a model. A build with CUDA loads
// cuBLAS, which alone is larger than a small model.
static size_t program_bytes() {
  size_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}
// On a GPU: an estimate of the driver's context, code and the libraries' workspaces.
static constexpr size_t kDeviceProgramBytes = size_t{640} << 20;

// The element-wise maximum of two plans.
static MemoryPlan largest(MemoryPlan a, const MemoryPlan& b) {
  for (size_t MemoryPlan::*part : {&MemoryPlan::parameters, &MemoryPlan::gradients, &MemoryPlan::optimizer,
                                   &MemoryPlan::sums, &MemoryPlan::messages, &MemoryPlan::activations,
                                   &MemoryPlan::scratch, &MemoryPlan::worst_activations, &MemoryPlan::worst_scratch}) {
    a.*part = std::max(a.*part, b.*part);
  }
  a.needs_host |= b.needs_host;
  return a;
}

// The plan for given numbers of experts, which moe.lifecycle may reach.
static MemoryPlan plan_with(const StateSetup& setup, const RankCounts& ranks, const LayerNumbers& numbers) {
  const TrainConfig config = with_experts(setup.config, numbers);
  const ProcessGroups groups =
      ProcessGroups::planned(ranks, expert_parallel_size(ranks, config.parallel.expert, fewest(numbers)));
  return plan_memory({.config = config,
                      .sample = setup.sample,
                      .groups = groups,
                      .run = setup.run,
                      .trains = setup.trains,
                      .sequences = setup.sequences,
                      .precision = setup.precision,
                      .device = setup.device,
                      .device_index = setup.device_index,
                      .queue = setup.queue});
}

// The plan for the largest of these numbers of experts.
static MemoryPlan largest_plan(const StateSetup& setup, const RankCounts& ranks,
                               const std::set<LayerNumbers>& numbers) {
  MemoryPlan plan = plan_memory(setup);
  for (const LayerNumbers& n : numbers) plan = largest(plan, plan_with(setup, ranks, n));
  return plan;
}

// What activations would take with another model.recompute.
struct OtherActivations {
  std::string recompute;
  size_t balanced, worst;
};

static std::vector<OtherActivations> other_activations(const StateSetup& setup, const RankCounts& ranks,
                                                       const std::set<LayerNumbers>& numbers) {
  std::vector<OtherActivations> result;
  for (const std::string& value : recompute_values()) {
    if (value == setup.config.model.recompute) continue;
    TrainConfig config = setup.config;
    config.model.recompute = value;
    const MemoryPlan plan = largest_plan({.config = config,
                                          .sample = setup.sample,
                                          .groups = setup.groups,
                                          .run = setup.run,
                                          .precision = setup.precision,
                                          .device = setup.device},
                                         ranks, numbers);
    result.push_back({value, plan.activations, plan.worst_activations});
  }
  return result;
}

namespace {

// What a dry run describes, and what it found out about it.
struct DryRun {
  const TrainConfig& config;
  const Task& task;
  const RunLength& length;
  RankCounts ranks;
  int64_t width;        // ranks that share the experts
  int64_t local_ranks;  // on this host
  Precision precision;
  Device device;
  ModelSummary summary;
  std::set<LayerNumbers> numbers;  // of experts, which moe.lifecycle may reach
  MemoryPlan plan;                 // of the largest of these
  std::vector<OtherActivations> others;
};

// The files of trace and their number, in words; empty without a trace.
std::string trace_text(const DryRun& d) {
  const TraceConfig& trace = d.config.trace;
  if (trace.every.amount == 0) return "";
  const bool trains = trace.of == "training";
  int64_t places = d.config.train.batch * d.task.shape().time;
  if (!trains) {
    const EvaluationOptions options{0, d.config.evaluate.stride, d.config.evaluate.tokens, 1};
    places = d.task.evaluation_set("validation", options)->num_sequences() * d.task.shape().time;
  }
  std::vector<TracedLayer> layers;
  with_model(d.config, d.task.shape(), d.length, [&](const Model& model) {
    for (const MoELayer* layer : model.moe_layers()) {
      const CapacityLimit& capacity = layer->capacity();
      layers.push_back(
          {layer->num_experts(), layer->traits().k, trains ? capacity.trains_bounded() : capacity.evaluates_bounded()});
    }
  });
  const double bytes = trace_bytes(trace, places, d.task.shape().vocab > 0, layers);
  const int64_t updates = d.length.total_updates;
  const int64_t interval =
      std::max<int64_t>(to_whole_updates(trains ? trace.every : d.config.evaluate.every, d.length), 1);
  const bool only_ends = !trains && d.config.evaluate.every.amount == 0;
  const int64_t files = trains ? updates / interval : only_ends ? 2 : 1 + divide_up(updates, interval);
  return fmt::format("{} of {}, at most {} each and {} in total", files, trains ? "updates" : "evaluations",
                     format_bytes(bytes), format_bytes(bytes * static_cast<double>(files)));
}

std::string bytes_text(size_t bytes) {
  return format_bytes(static_cast<double>(bytes));
}

// Bytes of a checkpoint.
double bytes_on_disk(const DryRun& d) {
  return checkpoint_bytes(d.summary, d.plan, d.precision.storage,
                          store_bytes(d.config.curriculum, d.task.num_samples()));
}

std::string size_and_cost(const DryRun& d) {
  std::string text;
  auto row = [&](const char* name, const std::string& value) { text += fmt::format("{:<26} {}\n", name, value); };
  auto count = [](double n) {
    return n < 1e4 ? fmt::format("{:.0f}", n) : fmt::format("{} ({:.0f})", format_count(n), n);
  };
  const auto& [updates, per_update, per_epoch] = d.length;
  const bool absent = d.device == Device::cuda && cuda::device_count() == 0;
  row("device", fmt::format("{}, {}{}", name_of(d.device), computed_in(d.device, d.precision),
                            absent ? " (planned only: " + cuda::why_no_device() + ")" : ""));
  if (const std::string advice = faster_precision(d.device, d.precision); !advice.empty()) row("", advice);
  row("parameters", count(static_cast<double>(d.summary.parameters)));
  row("active parameters", count(static_cast<double>(d.summary.active_parameters)));
  row("expert parameters", count(static_cast<double>(d.summary.expert_parameters)));
  if (d.numbers.size() > 1) {
    row("experts",
        fmt::format(
            "{} at first, by moe.lifecycle from {} to {}; all other rows are for the start, memory is for the largest",
            to_words(configured_experts(d.config.model, d.config.moe)), to_words(*d.numbers.begin()),
            to_words(*d.numbers.rbegin())));
  }
  row("FLOPs per token", count(d.summary.flops_per_token));
  row("tokens per step", count(per_update));
  row("steps", fmt::format("{} ({:.2f} epochs, {} tokens)", updates, static_cast<double>(updates) / per_epoch,
                           format_count(per_update * static_cast<double>(updates))));
  row("FLOPs of the run", fmt::format("{:.3g}", d.summary.flops_per_token * per_update * static_cast<double>(updates)));
  const int64_t ranks = d.ranks.ranks;
  row("ranks", fmt::format("{} = {} data x {} expert parallel{}", ranks, ranks / d.width, d.width,
                           d.ranks.per_host < ranks ? fmt::format(", {} per host", d.ranks.per_host) : ""));
  row("checkpoint", bytes_text(static_cast<size_t>(bytes_on_disk(d))));
  if (const std::string trace = trace_text(d); !trace.empty()) row("routing traces", trace);
  return text;
}

// Bytes of a rank besides the plan's: the process or the driver, and what it reads.
size_t other_bytes(const DryRun& d) {
  return d.device == Device::cuda ? kDeviceProgramBytes : program_bytes() + static_cast<size_t>(d.task.memory_bytes());
}

std::string memory_table(const DryRun& d, size_t rest) {
  const MemoryPlan& plan = d.plan;
  const auto store = static_cast<size_t>(store_bytes(d.config.curriculum, d.task.num_samples()));
  std::string text = "\nbytes per rank             balanced      worst imbalance\n";
  auto row = [&](const char* name, size_t balanced, size_t worst) {
    text += fmt::format("  {:<24} {:<13} {}\n", name, bytes_text(balanced), bytes_text(worst));
  };
  row("parameters", plan.parameters, plan.parameters);
  row("gradients", plan.gradients, plan.gradients);
  row("optimizer", plan.optimizer, plan.optimizer);
  if (plan.copies > 0) row("copies of experts", plan.copies, plan.copies);
  if (plan.packed_weights > 0) row("weights in bf16", plan.packed_weights, plan.packed_weights);
  if (plan.messages > 0) row("gradients in messages", plan.messages, plan.messages);
  if (plan.memory > 0) {
    row("memory of rows", plan.memory, plan.memory);
    row("memory at evaluation", plan.evaluation_memory, plan.evaluation_memory);
  }
  if (plan.sums > 0) row("sums over tokens", plan.sums, plan.sums);
  row("activations", plan.activations, plan.worst_activations);
  row("scratch", plan.scratch, plan.worst_scratch);
  if (store > 0) row("difficulties (host)", store, store);
  row(d.device == Device::cuda ? "driver and libraries" : "program and data", rest, rest);
  row("total", plan.total() + store + rest, plan.worst_total() + store + rest);
  text += fmt::format("activations, model.recompute: {} (above)\n", d.config.model.recompute);
  for (const OtherActivations& other : d.others) row(("with " + other.recompute).c_str(), other.balanced, other.worst);
  return text;
}

std::string warnings(const DryRun& d, size_t rest) {
  auto notes =
      lint(d.config, d.task.shape().time, d.ranks.ranks, d.width, experts_per_token(d.config, d.length), d.length);
  if (const std::string why = why_not_exportable(d.config, d.task.shape().vocab, d.length); !why.empty()) {
    notes.push_back("no other program could compute this model, so moe-convert would not export it: " + why);
  }
  for (std::string& doubt : d.task.doubts()) notes.push_back(std::move(doubt));
  if (d.device == Device::cuda && !cuda::built())
    notes.push_back("this build has no CUDA: the scratch memory of kernels is not included");
  if (d.device == Device::cuda && cuda::device_count() > 0 &&
      d.plan.worst_total() + rest > cuda::memory_info().total_bytes) {
    notes.push_back(fmt::format(
        "the GPU has only {}: training will not start; raise train.micro_batches or use more ranks (parallel.expert)",
        bytes_text(cuda::memory_info().total_bytes)));
  }
  if (const std::string note = memory_warning(read_memory_limit(SystemFiles()),
                                              d.device == Device::cuda ? rest : d.plan.total() + rest, d.local_ranks);
      !note.empty())
    notes.push_back(note);
  if (const auto notice = space_notice(d.config.run_folder(), bytes_on_disk(d))) notes.push_back(*notice);
  std::string text = notes.empty() ? "" : "\nwarnings\n";
  for (const std::string& note : notes) text += "  - " + note + "\n";
  return text;
}

}  // namespace

std::string describe_dry_run(const TrainConfig& config, const RankCounts& ranks, int64_t local_ranks) {
  const int64_t width = expert_parallel_size(ranks, config.parallel.expert, smallest_experts(config.model, config.moe));
  const ProcessGroups groups = ProcessGroups::planned(ranks, width);

  const std::unique_ptr<Task> task = open_task(config);
  const RunLength length = run_length(config, *task);
  const bool starts = !RunFolder(config).checkpoints().last();
  check_run({.config = config, .task = *task, .length = length, .ranks = ranks, .starts = starts});
  const bool on_gpu = config.device == "cuda" || (config.device == "auto" && cuda::device_count() > 0);
  const Device device = on_gpu ? Device::cuda : Device::cpu;
  const Precision precision = choose_precision(config.precision, device);
  const StateSetup setup{.config = config,
                         .sample = task->shape(),
                         .groups = groups,
                         .run = length,
                         .precision = precision,
                         .device = device};
  DryRun d{.config = config,
           .task = *task,
           .length = length,
           .ranks = ranks,
           .width = width,
           .local_ranks = local_ranks,
           .precision = precision,
           .device = device,
           .summary = summarise(config, task->shape(), length),
           .numbers = possible_experts(config.model, config.moe, length),
           .plan = {},
           .others = {}};
  d.plan = largest_plan(setup, ranks, d.numbers);
  d.others = other_activations(setup, ranks, d.numbers);
  const std::string cost = size_and_cost(d);
  const size_t rest = other_bytes(d);
  return cost + memory_table(d, rest) + warnings(d, rest);
}

}  // namespace moe
