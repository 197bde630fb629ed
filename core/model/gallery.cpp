#include "core/model/gallery.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/integer.h"
#include "core/base/token.h"

namespace moe {

static double product(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void Gallery::clear(int64_t samples, int64_t width) {
  samples_ = samples;
  width_ = width;
  rows_.assign(as_index(samples * columns()), 0.0);
}

void Gallery::set(int64_t sample, std::span<const double> first, std::span<const double> second, int32_t label,
                  double weight) {
  MOE_CHECK(sample >= 0 && std::ssize(first) == width_ && std::ssize(second) == width_,
            "a sample {} with vectors of {} and {} elements for a gallery of {} with {}", sample, first.size(),
            second.size(), samples_, width_);
  if (sample >= samples_) return;  // past the end of an evaluated set
  double* to = rows_.data() + sample * columns();
  to = std::copy(first.begin(), first.end(), to);
  to = std::copy(second.begin(), second.end(), to);
  *to++ = static_cast<double>(label) + 1;  // absent samples have 0, which stands for no label
  *to = weight;
}

void Gallery::gather(Communicator& world) {
  // A sample is on one rank only, so the sum is an exact gather.
  if (world.size() > 1 && !rows_.empty()) world.all_reduce_sum(as_tensor(std::span(rows_)));
}

int32_t Gallery::label(int64_t sample) const {
  static_assert(kIgnoreTarget == -1);
  return static_cast<int32_t>(row(sample)[as_index(2 * width_)]) - 1;
}

std::vector<std::vector<double>> Gallery::class_means() const {
  std::vector<std::vector<double>> means;
  for (int64_t i = 0; i < samples_; ++i) {
    if (label(i) == kIgnoreTarget) continue;
    const auto c = static_cast<size_t>(label(i));
    if (c >= means.size()) means.resize(c + 1);
    means[c].resize(as_index(width_));
    for (size_t k = 0; k < means[c].size(); ++k) means[c][k] += vector(i, 1)[k];
  }
  for (std::vector<double>& mean : means) {
    const double length = std::sqrt(product(mean, mean));
    for (double& x : mean) x /= length > 0 ? length : 1;
  }
  return means;
}

namespace {

struct Comparison {
  double loss = 0;
  int64_t others_above = 0;  // candidates of other classes that are at least as near as the nearest of its own
};

// `scores` of all candidates, of which those of the sample's class are hits.
Comparison compare_scores(std::span<const int32_t> labels, int32_t own, std::span<const double> scores) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  double best_hit = kNone, best_other = kNone, sum = 0, hits = 0;
  for (size_t j = 0; j < labels.size(); ++j) {
    if (labels[j] == kIgnoreTarget) continue;
    double& best = labels[j] == own ? best_hit : best_other;
    best = std::max(best, scores[j]);
  }
  Comparison result;
  for (size_t j = 0; j < labels.size(); ++j) {
    if (labels[j] == kIgnoreTarget || labels[j] == own) continue;
    sum += std::exp(scores[j] - best_other);
    result.others_above += scores[j] >= best_hit;
  }
  if (best_other == kNone) return result;
  const double others = best_other + std::log(sum);
  for (size_t j = 0; j < labels.size(); ++j) {
    if (labels[j] != own) continue;
    const double x = others - scores[j];
    result.loss += std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
    hits += 1;
  }
  result.loss /= hits;
  return result;
}

}  // namespace

std::vector<ComparedSample> Gallery::compare(int64_t first, int64_t count, double scale) const {
  std::vector<ComparedSample> results(as_index(count));
  const std::vector<std::vector<double>> means = class_means();
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < samples_; ++i) labels.push_back(label(i));
#pragma omp parallel
  {
    std::vector<double> scores(as_index(samples_));
#pragma omp for schedule(static)
    for (int64_t i = first; i < first + count; ++i) {
      const int32_t own = labels[as_index(i)];
      if (own == kIgnoreTarget) continue;
      ComparedSample& result = results[as_index(i - first)];
      result.counts = true;
      for (int from = 0; from < 2; ++from) {
        for (int64_t j = 0; j < samples_; ++j)
          scores[as_index(j)] = scale * product(vector(i, from), vector(j, 1 - from));
        const Comparison c = compare_scores(labels, own, scores);
        const auto direction = static_cast<size_t>(from);
        result.loss[direction] = c.loss;
        result.nearest[direction] = c.others_above == 0;
        result.among_five[direction] = c.others_above < 5;
      }
      double best = -std::numeric_limits<double>::infinity();
      for (size_t c = 0; c < means.size(); ++c) {
        if (means[c].empty()) continue;
        const double score = product(vector(i, 0), means[c]);
        if (score > best) best = score, result.classified = c == static_cast<size_t>(own);
      }
    }
  }
  return results;
}

}  // namespace moe
