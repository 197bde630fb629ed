#include "core/inspect/verdict.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/integer.h"
#include "core/base/statistics.h"

namespace moe {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// A mean of n differences, with their standard deviation.
struct Sample {
  double mean, deviation;
  int64_t n;

  // The mean's distance from `value` in standard errors.
  double t(double value) const {
    const double distance = mean - value;
    if (deviation == 0) return distance == 0 ? 0 : std::copysign(HUGE_VAL, distance);
    return distance / (deviation / std::sqrt(static_cast<double>(n)));
  }
  double p() const { return student_p(t(0), n - 1); }
  double p_equivalent(double margin) const {
    // One-sided: only a mean inside the margin speaks for equivalence.
    const auto beyond = [&](double t) { return t > 0 ? student_p(t, n - 1) / 2 : 1 - student_p(t, n - 1) / 2; };
    return std::max(beyond(t(-margin)), beyond(-t(margin)));
  }
};

// Holm's correction is at most the number of comparisons, which is what a single number of seeds can promise.
std::optional<int64_t> seeds_to_decide(Sample sample, double margin, double comparisons) {
  for (++sample.n; sample.n <= kMostSeeds; ++sample.n) {
    if (comparisons * sample.p() < kAlpha) return sample.n;
    if (margin > 0 && comparisons * sample.p_equivalent(margin) < kAlpha) return sample.n;
  }
  return std::nullopt;
}

}  // namespace

std::vector<double> holm(std::vector<double> p) {
  std::vector<size_t> order;
  for (size_t i = 0; i < p.size(); ++i) {
    if (!std::isnan(p[i])) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    double& value = p[order[rank]];
    largest = std::max(largest, std::min(1.0, value * static_cast<double>(order.size() - rank)));
    value = largest;
  }
  return p;
}

std::vector<Verdict> judge_differences(std::span<const PairedDifference> differences, double margin) {
  std::vector<double> p, p_equivalent;
  std::vector<Sample> samples;
  double comparisons = 0;
  for (const PairedDifference& d : differences) {
    const Sample sample{d.mean, standard_deviation(d.differences), std::ssize(d.differences)};
    samples.push_back(sample);
    comparisons += d.has_interval() ? 1 : 0;
    p.push_back(d.has_interval() ? sample.p() : kNone);
    p_equivalent.push_back(d.has_interval() && margin > 0 ? sample.p_equivalent(margin) : kNone);
  }
  p = holm(std::move(p));
  p_equivalent = holm(std::move(p_equivalent));
  std::vector<Verdict> verdicts;
  for (size_t i = 0; i < samples.size(); ++i) {
    Verdict v{.kind = Verdict::Kind::none, .p = p[i], .p_equivalent = p_equivalent[i], .seeds_to_decide = {}};
    if (differences[i].has_interval()) {
      if (v.p_equivalent < kAlpha) {
        v.kind = Verdict::Kind::equivalent;
      } else if (v.p < kAlpha) {
        v.kind = samples[i].mean < 0 ? Verdict::Kind::better : Verdict::Kind::worse;
      } else {
        v.kind = Verdict::Kind::undecided;
        v.seeds_to_decide = seeds_to_decide(samples[i], margin, comparisons);
      }
    }
    verdicts.push_back(v);
  }
  return verdicts;
}

std::string name_of(Verdict::Kind kind) {
  static constexpr const char* kNames[] = {"-", "better", "worse", "equivalent", "not decided", "diverged"};
  return kNames[as_index(kind)];
}

}  // namespace moe
