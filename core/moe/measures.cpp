#include "core/moe/measures.h"

#include "comm/communicator.h"
#include "core/nn/now.h"

namespace moe {

size_t MeasureSet::declare(const std::string& name, std::optional<Scheduled> coefficient, LayerSums::Range range,
                           Value value) {
  const double first = coefficient ? coefficient->at(0) : 0;
  measures_.push_back({name, std::move(coefficient), first, range, std::move(value)});
  return measures_.size() - 1;
}

std::optional<double> MeasureSet::mean(std::span<const double> sums) {
  return sums[1] == 0 ? std::nullopt : std::optional(sums[0] / sums[1]);
}

void MeasureSet::begin(const Context& ctx) {
  for (Measure& measure : measures_) {
    if (measure.scheduled) measure.coefficient = now(*measure.scheduled, ctx);
  }
}

void MeasureSet::observe(const Context& ctx, size_t measure, double sum, double count) const {
  if (ctx.observe && !ctx.planning) add(measure, sum, count);
}

Tensor MeasureSet::sum_of(size_t measure) const {
  return as_tensor(sums_.of(measures_[measure].range).first(1));
}

void MeasureSet::add(size_t measure, double sum, double count) const {
  const std::span<double> sums = sums_.of(measures_[measure].range);
  sums[0] += sum;
  sums[1] += count;
}

std::optional<double> MeasureSet::value(size_t i) const {
  return measures_[i].value(sums_.of(measures_[i].range));
}

std::optional<size_t> MeasureSet::find(const std::string& name) const {
  for (size_t i = 0; i < measures_.size(); ++i) {
    if (measures_[i].name == name) return i;
  }
  return std::nullopt;
}

double MeasureSet::weighted_value() const {
  double sum = 0;
  for (size_t i = 0; i < measures_.size(); ++i) {
    if (measures_[i].coefficient != 0) sum += measures_[i].coefficient * value(i).value_or(0);
  }
  return sum;
}

}  // namespace moe
