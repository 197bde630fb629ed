#include "core/train/network_plan.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "comm/process_groups.h"
#include "core/config/all_to_all.h"
#include "core/config/config_reader.h"
#include "core/config/config_tree.h"
#include "core/config/config_writer.h"
#include "core/config/flat_values.h"
#include "core/lifecycle/lifecycle_plan.h"
#include "core/plan/plan_settings.h"
#include "core/step/device_choice.h"
#include "core/step/training_state.h"
#include "core/tasks/task.h"
#include "core/tensor/device.h"

namespace moe {
namespace {

// The configuration with other values of some keys.
TrainConfig with_values(const TrainConfig& config, const std::vector<std::string>& assignments) {
  TrainConfig written = config;
  ConfigNode root = parse_config(write_yaml(written, false), "the configuration");
  for (const std::string& assignment : assignments) apply_override(root, assignment);
  TrainConfig result;
  read_config(root, result);
  return result;
}

// `auto` of parallel.all_to_all counts as hierarchical for experts on several hosts, although it is direct for k = 1.
PlanSetting configured(const TrainConfig& config, int64_t width, const RankCounts& ranks) {
  TrainConfig copy = config;
  const AllToAll all_to_all = all_to_all_from(config.parallel.all_to_all);
  return {.expert = width,
          .reduce_during_backward = config.parallel.reduce_during_backward,
          .overlap = config.parallel.overlap,
          .hierarchical =
              all_to_all == AllToAll::hierarchical || (all_to_all == AllToAll::automatic && width > ranks.per_host),
          .recompute = config.model.recompute,
          .shard = flat_values(copy)["optimizer.shard"] == "true",
          .micro_batches = config.train.micro_batches};
}

// The divisors of the ranks that divide the experts, and that divide a host's ranks or consist of whole hosts.
std::vector<int64_t> possible_widths(const RankCounts& ranks, int64_t experts) {
  std::vector<int64_t> widths;
  for (int64_t w = 1; w <= std::min(ranks.ranks, std::max<int64_t>(experts, 1)); ++w) {
    const bool fits = ranks.per_host % w == 0 || w % ranks.per_host == 0;
    if (ranks.ranks % w == 0 && fits && (w == 1 || experts % w == 0)) widths.push_back(w);
  }
  return widths;
}

// The configured number, and powers of two of which each has a sequence.
std::vector<int64_t> possible_micro_batches(const TrainConfig& config, const RankCounts& ranks) {
  constexpr int64_t kMost = 8;
  std::vector<int64_t> numbers{config.train.micro_batches};
  for (int64_t n = 1; n <= std::min(kMost, config.train.batch / ranks.ranks); n *= 2) {
    if (n != config.train.micro_batches) numbers.push_back(n);
  }
  return numbers;
}

}  // namespace

std::string describe_network_plan(const TrainConfig& config, const RankCounts& ranks,
                                  const NetworkPlanOptions& options) {
  if (options.network.empty()) return "";
  const NetworkConfig network = read_network(options.network);
  const std::unique_ptr<Task> task = open_task(config);
  const RunLength length = run_length(config, *task);
  const int64_t experts = smallest_experts(config.model, config.moe);
  const int64_t width = expert_parallel_size(ranks, config.parallel.expert, experts);
  const bool on_gpu = config.device == "cuda" || (config.device == "auto" && cuda::device_count() > 0);
  const Device device = on_gpu ? Device::cuda : Device::cpu;
  const Precision precision = choose_precision(config.precision, device);
  const ModelCost cost = model_cost(config, task->shape(), length);
  const auto bytes = [&](const PlanSetting& s) {
    const TrainConfig other = with_values(
        config, {"model.recompute=" + s.recompute, fmt::format("optimizer.shard={}", s.shard ? "true" : "false"),
                 fmt::format("train.micro_batches={}", s.micro_batches), fmt::format("parallel.overlap={}", s.overlap),
                 std::string("parallel.all_to_all=") + (s.hierarchical ? "hierarchical" : "direct")});
    const ProcessGroups groups = ProcessGroups::planned(ranks, s.expert);
    const MemoryPlan plan = plan_memory({.config = other,
                                         .sample = task->shape(),
                                         .groups = groups,
                                         .run = length,
                                         .precision = precision,
                                         .device = device});
    const double worst = s.expert > 1 ? (options.imbalance - 1) / static_cast<double>(s.expert - 1) : 0;
    return static_cast<double>(plan.total()) + worst * static_cast<double>(plan.worst_total() - plan.total());
  };
  const bool rounds = config.parallel.reduce_in == "bf16";
  PlanRequest request{
      .model = cost,
      .shape = {.tokens =
                    static_cast<double>(config.train.batch * task->shape().time) / static_cast<double>(ranks.ranks),
                .row_bytes = static_cast<double>(size_of(precision.storage)),
                .gradient_bytes = static_cast<double>(size_of(rounds ? DType::bf16 : wide(precision.storage))),
                .bucket = static_cast<double>(config.parallel.bucket),
                .imbalance = {options.imbalance}},
      .ranks = {static_cast<double>(ranks.ranks), static_cast<double>(ranks.per_host)},
      .network = network,
      .setting = configured(config, width, ranks),
      .widths = possible_widths(ranks, experts),
      .micro_batches = possible_micro_batches(config, ranks),
      .trace = options.routing_trace.empty() ? RoutingTrace() : read_routing_trace(options.routing_trace, experts),
      .bytes = bytes};
  return to_words(plan_settings(request), request);
}

}  // namespace moe
