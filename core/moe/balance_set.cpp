#include "core/moe/balance_set.h"

#include <algorithm>

namespace moe {

BalanceSet::BalanceSet(LayerSums& sums, const ChoiceList<BalanceLoss>& choices, const BalanceLoss::Setup& setup)
    : sums_(sums) {
  size_t largest = 0;
  for (const Choice<BalanceLoss>& choice : choices.items()) {
    losses_.push_back(choice.make(setup));
    names_.push_back(choice.kind());
    ranges_.push_back(sums.reserve(static_cast<size_t>(losses_.back()->num_sums())));
    largest = std::max(largest, ranges_.back().count);
  }
  group_sums_.resize(largest);
}

std::span<double> BalanceSet::sums_of(size_t i) const {
  return sums_.of(ranges_[i]);
}

static Routing slice(const Routing& routing, int64_t begin, int64_t count) {
  Routing part;
  part.x = routing.x.slice(begin, count);
  part.logits = routing.logits.slice(begin, count);
  part.probabilities = routing.probabilities.slice(begin, count);
  part.logsumexp = routing.logsumexp.slice(begin, count);
  part.indices = routing.indices.slice(begin, count);
  part.weights = routing.weights.slice(begin, count);
  return part;
}

template <class Visit>
void BalanceSet::for_each_group(BalanceLoss::Scope scope, const TokenBatch& batch, const Routing& routing,
                                Visit visit) const {
  if (scope == BalanceLoss::Scope::sequence) {
    for (int64_t s = 0; s < batch.sequences; ++s) {
      visit(slice(routing, s * batch.time, batch.time), batch.targets.slice(s * batch.time, batch.time), s * batch.time,
            1.0 / static_cast<double>(batch.global_sequences));
    }
  } else if (batch.tokens() > 0) {
    visit(routing, batch.targets, int64_t{0},
          static_cast<double>(batch.tokens()) / static_cast<double>(batch.global_tokens));
  }
}

void BalanceSet::observe(Context& ctx, const TokenBatch& batch, const Routing& routing) {
  if (ctx.planning) return;
  for (size_t i = 0; i < losses_.size(); ++i) {
    const BalanceLoss& loss = *losses_[i];
    const std::span<double> sums = sums_of(i);
    if (loss.scope() == BalanceLoss::Scope::global) {
      loss.add_sums(ctx, sums, routing, batch.targets);
      continue;
    }
    for_each_group(loss.scope(), batch, routing, [&](const Routing& part, ConstTensor targets, int64_t, double weight) {
      const std::span<double> group(group_sums_.data(), sums.size());
      std::fill(group.begin(), group.end(), 0.0);
      loss.add_sums(ctx, group, part, targets);
      sums[0] += weight * loss.value(group);
    });
  }
}

void BalanceSet::backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const Routing& routing) {
  if (ctx.planning) return;
  for (size_t i = 0; i < losses_.size(); ++i) {
    const BalanceLoss& loss = *losses_[i];
    if (loss.coefficient() == 0) continue;
    if (loss.scope() == BalanceLoss::Scope::global) {
      loss.backward(ctx, d_logits, routing, batch.targets, sums_of(i), scale_ * loss.coefficient());
      continue;
    }
    for_each_group(loss.scope(), batch, routing,
                   [&](const Routing& part, ConstTensor targets, int64_t begin, double weight) {
                     const std::span<double> group(group_sums_.data(), static_cast<size_t>(loss.num_sums()));
                     std::fill(group.begin(), group.end(), 0.0);
                     loss.add_sums(ctx, group, part, targets);
                     loss.backward(ctx, d_logits.slice(begin, part.logits.dim(0)), part, targets, group,
                                   weight * scale_ * loss.coefficient());
                   });
  }
}

double BalanceSet::value(size_t i) const {
  return losses_[i]->scope() == BalanceLoss::Scope::global ? losses_[i]->value(sums_of(i)) : sums_of(i)[0];
}

double BalanceSet::weighted_value() const {
  double sum = 0;
  for (size_t i = 0; i < losses_.size(); ++i) sum += scale_ * losses_[i]->coefficient() * value(i);
  return sum;
}

bool BalanceSet::needs_whole_step() const {
  return std::any_of(losses_.begin(), losses_.end(), [](const auto& loss) {
    return loss->scope() == BalanceLoss::Scope::global && loss->coefficient() != 0;
  });
}

}  // namespace moe
