#include "core/evaluate/source_losses.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/tensor/copy.h"

namespace moe {

SourceLosses::SourceLosses(Context& ctx, const EvaluationSet& set, int64_t num_sources)
    : ctx_(ctx), set_(set), sums_(as_index(num_sources)) {
  if (num_sources > 0 && set.streams() == 0 && set.has_sources()) return;
  throw UsageError(
      "losses by source need a prepared corpus with an index of its documents, and a model without a context memory");
}

void SourceLosses::add(int64_t first, ConstTensor losses) {
  if (losses.size() == 0) return;
  const ConstTensor host = on_host(ctx_, losses, buffer_);
  set_.load(0, 0, batch_);  // for its length
  const int64_t length = batch_.length;
  set_.load(first / length, losses.size() / length, batch_);
  set_.target_sources(batch_, sources_);
  for (int64_t i = 0; i < host.size(); ++i) {
    if (batch_.targets[as_index(i)] == kIgnoreTarget) continue;
    SourceLoss& sum = sums_[as_index(sources_[as_index(i)])];
    sum.loss += host.dtype == DType::f64 ? host.as<double>()[i] : static_cast<double>(host.as<float>()[i]);
    sum.tokens += 1;
  }
}

std::vector<SourceLoss> SourceLosses::sums(Communicator& world) const {
  std::vector<double> values;
  for (const SourceLoss& sum : sums_) {
    values.push_back(sum.loss);
    values.push_back(sum.tokens);
  }
  world.all_reduce_sum(as_tensor(std::span(values)));
  std::vector<SourceLoss> all(sums_.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = {values[2 * i], values[2 * i + 1]};
  return all;
}

static std::vector<size_t> largest_first(const std::vector<SourceLoss>& sums) {
  std::vector<size_t> order;
  for (size_t i = 0; i < sums.size(); ++i) {
    if (sums[i].tokens > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return sums[a].tokens > sums[b].tokens; });
  return order;
}

std::string source_text(const std::vector<SourceLoss>& sums, const std::vector<std::string>& names) {
  constexpr size_t kMost = 50;
  const std::vector<size_t> order = largest_first(sums);
  std::string text = fmt::format("{:>14}  {:>9}  source\n", "predictions", "nll");
  for (size_t i = 0; i < std::min(order.size(), kMost); ++i) {
    const SourceLoss& sum = sums[order[i]];
    text += fmt::format("{:>14.0f}  {:>9.4f}  {}\n", sum.tokens, sum.loss / sum.tokens, names[order[i]]);
  }
  if (order.size() > kMost) text += fmt::format("... and {} more; --json has all\n", order.size() - kMost);
  return text;
}

Json source_json(const std::vector<SourceLoss>& sums, const std::vector<std::string>& names) {
  Json json = Json::array();
  for (const size_t i : largest_first(sums)) {
    json.push_back({{"source", names[i]}, {"tokens", sums[i].tokens}, {"nll", sums[i].loss / sums[i].tokens}});
  }
  return json;
}

}  // namespace moe
