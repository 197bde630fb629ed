#include "core/evaluate/confusion.h"

#include <algorithm>
#include <numeric>

#include "core/base/text.h"
#include "core/base/token.h"
#include "core/model/model.h"
#include "core/tensor/copy.h"

namespace moe {

void Confusion::add(const Outcome& outcome) {
  labels_.clear(), logits_.clear();
  append_integers(state_.ctx, labels_, outcome.targets);
  state_.model->append_logits(state_.ctx, 0, std::ssize(labels_), logits_);
  for (int64_t row = 0; row < std::ssize(labels_); ++row) {
    const int32_t label = labels_[as_index(row)];
    if (label == kIgnoreTarget) continue;
    const auto begin = logits_.begin() + row * classes_;
    const int64_t predicted = std::max_element(begin, begin + classes_) - begin;
    counts_[as_index(label * classes_ + predicted)] += 1;
  }
}

ConfusionCounts Confusion::counts(Communicator& world) const {
  std::vector<double> sums = counts_;
  world.all_reduce_sum(as_tensor(std::span(sums)));
  ConfusionCounts result(as_index(classes_), std::vector<int64_t>(as_index(classes_)));
  for (size_t i = 0; i < sums.size(); ++i)
    result[i / as_index(classes_)][i % as_index(classes_)] = static_cast<int64_t>(sums[i]);
  return result;
}

static int64_t samples_of(const std::vector<int64_t>& row) {
  return std::accumulate(row.begin(), row.end(), int64_t{0});
}

std::string confusion_text(const ConfusionCounts& counts, const std::vector<std::string>& classes) {
  std::string text = fmt::format("{:>8} {:>9}  class\n", "samples", "accuracy");
  for (size_t label = 0; label < counts.size(); ++label) {
    const int64_t samples = samples_of(counts[label]);
    if (samples == 0) continue;
    text += fmt::format("{:>8} {:>8.2f}%  {}", samples,
                        100 * static_cast<double>(counts[label][label]) / static_cast<double>(samples),
                        shown(classes[label]));
    std::vector<int64_t> wrong = counts[label];
    wrong[label] = 0;
    const auto most = std::max_element(wrong.begin(), wrong.end());
    if (*most > 0) text += fmt::format(", {} taken for {}", *most, shown(classes[as_index(most - wrong.begin())]));
    text += "\n";
  }
  return text;
}

Json confusion_json(const ConfusionCounts& counts, const std::vector<std::string>& classes) {
  Json accuracy = Json::array(), rows = Json::array();
  for (size_t label = 0; label < counts.size(); ++label) {
    const int64_t samples = samples_of(counts[label]);
    accuracy.push_back(samples == 0 ? Json(nullptr)
                                    : Json(static_cast<double>(counts[label][label]) / static_cast<double>(samples)));
    rows.push_back(counts[label]);
  }
  return {{"names", classes}, {"accuracy", accuracy}, {"confusion", rows}};
}

}  // namespace moe
