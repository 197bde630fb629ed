#include "core/moe/balance_set.h"

#include <algorithm>

#include "core/nn/now.h"
#include "core/ops/modality.h"
#include "core/tensor/device_sums.h"

namespace moe {

BalanceSet::BalanceSet(LayerSums& sums, const ChoiceList<BalanceLoss>& choices, const BalanceLoss::Setup& setup)
    : sums_(sums) {
  for (const Choice<BalanceLoss>& choice : choices.items()) {
    losses_.push_back(choice.make(setup));
    if (losses_.back()->modality() >= 0 && setup.modalities == 1) {
      raise<UsageError>("moe.balance: {}: modality: the samples of this task have one modality; use all",
                        choice.kind());
    }
    names_.push_back(choice.kind());
    coefficients_.push_back(losses_.back()->coefficient().at(0));
    ranges_.push_back(sums.reserve(static_cast<size_t>(losses_.back()->num_sums())));
  }
}

void BalanceSet::begin(const Context& ctx) {
  for (size_t i = 0; i < losses_.size(); ++i) coefficients_[i] = raised_ * now(losses_[i]->coefficient(), ctx);
}

std::span<double> BalanceSet::sums_of(size_t i) const {
  return sums_.of(ranges_[i]);
}

TokenBatch BalanceSet::batch_of(Context& ctx, ScratchScope& scratch, const BalanceLoss& loss, const TokenBatch& batch) {
  if (loss.modality() < 0) return batch;
  TokenBatch part = batch;
  const Tensor targets = scratch.allocate(Shape{batch.tokens()}, DType::i32);
  modality_targets(ctx, targets, batch.targets,
                   {.modality = loss.modality(), .modalities = batch.modalities, .time = batch.time});
  part.targets = targets;
  return part;
}

static Tensor slice_of(const Tensor& tensor, int64_t begin, int64_t count) {
  return tensor ? tensor.slice(begin, count) : tensor;
}

static Routing slice(const Routing& routing, int64_t begin, int64_t count) {
  Routing part;
  part.x = routing.x.slice(begin, count);
  for (Tensor Routing::*member : {&Routing::logits, &Routing::probabilities, &Routing::logsumexp, &Routing::indices,
                                  &Routing::weights, &Routing::skip}) {
    part.*member = slice_of(routing.*member, begin, count);
  }
  for (Tensor RouterNoise::*member : {&RouterNoise::clean, &RouterNoise::noisy, &RouterNoise::deviation,
                                      &RouterNoise::d_noisy, &RouterNoise::d_deviation}) {
    part.noise.*member = slice_of(routing.noise.*member, begin, count);
  }
  return part;
}

template <class Visit>
void BalanceSet::for_each_group(BalanceLoss::Scope scope, const TokenBatch& batch, const Routing& routing,
                                const ExpertOutputs& outputs, Visit visit) const {
  if (scope == BalanceLoss::Scope::global) {
    visit(Group{.begin = 0, .weight = 1, .routing = routing, .targets = batch.targets, .outputs = outputs});
  } else if (scope == BalanceLoss::Scope::sequence) {
    for (int64_t s = 0; s < batch.sequences; ++s) {
      const int64_t begin = s * batch.time, count = batch.time;
      visit(Group{
          .begin = begin,
          .weight = 1.0 / static_cast<double>(batch.global_sequences),
          .routing = slice(routing, begin, count),
          .targets = batch.targets.slice(begin, count),
          .outputs = {outputs.rows, outputs.rows ? ConstTensor(outputs.position.slice(begin, count)) : ConstTensor()}});
    }
  } else if (batch.scored() > 0) {
    visit(Group{.begin = 0,
                .weight = static_cast<double>(batch.scored()) / static_cast<double>(batch.global_tokens),
                .routing = routing,
                .targets = batch.targets,
                .outputs = outputs});
  }
}

void BalanceSet::add_sums(Context& ctx, const BalanceLoss& loss, std::span<double> sums, const Group& group) const {
  if (!loss.sees_outputs()) return loss.add_sums(ctx, sums, group.routing, group.targets);
  loss.add_output_sums(ctx, sums, group.routing, group.outputs, group.targets);
}

template <class Visit>
void BalanceSet::for_each_group_with_sums(Context& ctx, size_t i, const TokenBatch& batch, const Routing& routing,
                                          const ExpertOutputs& outputs, Visit visit) {
  const BalanceLoss& loss = *losses_[i];
  const auto for_each = [&](auto use) { for_each_group(loss.scope(), batch, routing, outputs, use); };
  if (loss.scope() == BalanceLoss::Scope::global)
    return for_each([&](const Group& group) { visit(group, sums_of(i)); });
  const size_t n = ranges_[i].count;
  size_t groups = 0, next = 0;
  for_each([&](const Group&) { ++groups; });
  group_sums_.assign(groups * n, 0.0);
  const auto next_sums = [&] { return std::span(group_sums_).subspan(n * next++, n); };
  {
    ScratchScope scratch(ctx);
    DeviceSums device_copies;  // all groups' sums are queued before the host waits for the first
    if (ctx.device == Device::cuda && groups > 0) {
      device_copies =
          DeviceSums(ctx, group_sums_, scratch.allocate(Shape{static_cast<int64_t>(group_sums_.size())}, DType::f64));
    }
    const SumsScope scope(ctx, device_copies);
    for_each([&](const Group& group) { add_sums(ctx, loss, next_sums(), group); });
    device_copies.collect(ctx);
  }
  next = 0;
  for_each([&](const Group& group) { visit(group, next_sums()); });
}

void BalanceSet::observe(Context& ctx, const TokenBatch& batch, const Routing& routing) {
  observe_either(ctx, false, batch, routing, {});
}

void BalanceSet::observe_outputs(Context& ctx, const TokenBatch& batch, const Routing& routing,
                                 const ExpertOutputs& outputs) {
  observe_either(ctx, true, batch, routing, outputs);
}

void BalanceSet::observe_either(Context& ctx, bool on_outputs, const TokenBatch& batch, const Routing& routing,
                                const ExpertOutputs& outputs) {
  for (size_t i = 0; i < losses_.size(); ++i) {
    const BalanceLoss& loss = *losses_[i];
    if (loss.sees_outputs() != on_outputs) continue;
    ScratchScope scratch(ctx);
    const TokenBatch part = batch_of(ctx, scratch, loss, batch);
    if (ctx.planning && ctx.device == Device::cpu) continue;
    const std::span<double> sums = sums_of(i);
    if (loss.scope() == BalanceLoss::Scope::global) {
      for_each_group(loss.scope(), part, routing, outputs,
                     [&](const Group& group) { add_sums(ctx, loss, sums, group); });
      continue;
    }
    for_each_group_with_sums(ctx, i, part, routing, outputs, [&](const Group& group, std::span<const double> own) {
      sums[0] += group.weight * loss.value(own);
    });
  }
}

template <class Visit>
void BalanceSet::for_each_gradient(Context& ctx, bool on_outputs, const TokenBatch& batch, const Routing& routing,
                                   const ExpertOutputs& outputs, Visit visit) {
  for (size_t i = 0; i < losses_.size(); ++i) {
    const BalanceLoss& loss = *losses_[i];
    if (coefficients_[i] == 0 || loss.sees_outputs() != on_outputs) continue;
    ScratchScope scratch(ctx);
    const TokenBatch part = batch_of(ctx, scratch, loss, batch);
    if (ctx.planning && ctx.device == Device::cpu) continue;  // on a GPU the ops must run to count memory
    const std::vector<double> some(ctx.planning ? ranges_[i].count : 0, 1.0);  // stands for sums with tokens
    for_each_group_with_sums(ctx, i, part, routing, outputs, [&](const Group& group, std::span<const double> sums) {
      visit(loss, group, ctx.planning ? std::span(some) : sums, group.weight * scale_ * coefficients_[i]);
    });
  }
}

void BalanceSet::backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const Routing& routing,
                          Tensor d_weights) {
  for_each_gradient(ctx, false, batch, routing, {},
                    [&](const BalanceLoss& loss, const Group& group, std::span<const double> sums, double factor) {
                      const int64_t count = group.targets.dim(0);
                      loss.backward(ctx, {d_logits.slice(group.begin, count), slice_of(d_weights, group.begin, count)},
                                    group.routing, group.targets, sums, factor);
                    });
}

void BalanceSet::backward_outputs(Context& ctx, const TokenBatch& batch, Tensor d_rows, const Routing& routing,
                                  const ExpertOutputs& outputs) {
  for_each_gradient(ctx, true, batch, routing, outputs,
                    [&](const BalanceLoss& loss, const Group& group, std::span<const double> sums, double factor) {
                      loss.output_backward(ctx, d_rows, group.routing, group.outputs, group.targets, sums, factor);
                    });
}

double BalanceSet::value(size_t i) const {
  return losses_[i]->scope() == BalanceLoss::Scope::global ? losses_[i]->value(sums_of(i)) : sums_of(i)[0];
}

double BalanceSet::weighted_value() const {
  double sum = 0;
  for (size_t i = 0; i < losses_.size(); ++i) sum += scale_ * coefficients_[i] * value(i);
  return sum;
}

bool BalanceSet::sees_outputs() const {
  return std::any_of(losses_.begin(), losses_.end(), [](const auto& loss) { return loss->sees_outputs(); });
}

bool BalanceSet::needs_whole_step() const {
  return std::any_of(losses_.begin(), losses_.end(), [](const auto& loss) {
    return loss->scope() == BalanceLoss::Scope::global && loss->coefficient().largest() != 0;
  });
}

}  // namespace moe
