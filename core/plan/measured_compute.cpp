#include "core/plan/measured_compute.h"

#include <algorithm>

#include "core/base/integer.h"

namespace moe {
namespace {

constexpr double kBytes = 4;  // of an element: parts are measured on CPUs alone

// Sums over the blocks, and the number of blocks that have the part.
struct Sums {
  double flops = 0, blocks = 0;
  void add(double of_block) {
    flops += of_block;
    blocks += of_block > 0 ? 1 : 0;
  }
};

struct ModelSums {
  Sums attention, feed_forward;
  Sums experts;      // of a token
  Sums assignments;  // of an assignment
  double parameters = 0;
};

ModelSums sums_of(const ModelCost& cost) {
  ModelSums sums;
  sums.parameters = cost.first_parameters + cost.last_parameters;
  for (const BlockCost& b : cost.blocks) {
    sums.attention.add(b.attention);
    sums.feed_forward.add(b.feed_forward);
    sums.experts.add(b.assignment * b.assignments);
    sums.assignments.add(b.assignment);
    sums.parameters += b.shared_parameters + b.expert_parameters;
  }
  return sums;
}

}  // namespace

void fit_compute(ComputeConfig& c, const ModelCost& cost, const MeasuredCompute& m) {
  const ModelSums sums = sums_of(cost);
  const auto seconds = [&](ComputePart part, ComputeDirection direction) {
    return m.parts[as_index(part)][as_index(direction)].seconds / m.steps;
  };
  double forward = 0, backward = 0, head = 0;
  const auto rate = [&](double& to, ComputePart part, double flops) {
    const double there = seconds(part, ComputeDirection::forward), back = seconds(part, ComputeDirection::backward);
    if (there + back > 0 && flops > 0) to = 3 * flops * m.tokens / (there + back);
    (part == ComputePart::head ? head : forward) += there;
    backward += back;
  };
  rate(c.attention, ComputePart::attention, sums.attention.flops);
  rate(c.feed_forward, ComputePart::feed_forward, sums.feed_forward.flops);
  rate(c.experts, ComputePart::experts, sums.experts.flops);
  rate(c.head, ComputePart::head, cost.head);
  if (forward > 0 && backward > 0) c.backward = backward / forward;
  if (const double update = seconds(ComputePart::update, ComputeDirection::forward); update > 0)
    c.memory = sums.parameters * c.update / update;
  const double rows = m.tokens * static_cast<double>(cost.blocks.size()) * cost.width * kBytes;
  if (rows > 0) c.passes = std::max(m.seconds - forward - backward - head, 0.0) * c.memory / rows;
}

ComputeParts::Table timed_parts(const ComputeConfig& c, const ModelCost& cost, double slower) {
  const ModelSums sums = sums_of(cost);
  ComputeParts::Table table{};
  const auto set = [&](ComputePart part, const Sums& of, double rate) {
    const double forward = slower * 3 * of.flops / std::max(of.blocks, 1.0) / rate / (1 + c.backward);
    table[as_index(part)] = {ComputeParts::Work{forward, 1}, ComputeParts::Work{forward * c.backward, 1}};
  };
  set(ComputePart::attention, sums.attention, c.attention);
  set(ComputePart::feed_forward, sums.feed_forward, c.feed_forward);
  set(ComputePart::experts, sums.assignments, c.experts);
  // The head with its loss and backward, and the update, are one part each.
  table[as_index(ComputePart::head)][0] = {slower * 3 * cost.head / c.head, 1};
  table[as_index(ComputePart::update)][0] = {slower * c.update / c.memory, 1};
  return table;
}

}  // namespace moe
