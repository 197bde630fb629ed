// The smallest factor that would have dropped at most a given share of the latest updates' assignments, so it follows
// the load as that becomes more or less even. The method is ours, after the usual practice of setting the capacity by
// the largest load.
#include <vector>

#include "core/moe/capacity.h"

namespace moe {
namespace {

struct Options : Fields<Options>, CapacityOptions {
  double dropped = 0.01, limit = 4, decay = 0.9;
  void fields(FieldVisitor& v) override {
    v.field("dropped", dropped, "share of the assignments that may be dropped: the target for the factor", {0, 1});
    v.field("limit", limit, "largest factor, and the factor at the first update", {1e-2, 1024});
    v.field("decay", decay, "decay of the moving average of the drops under each factor, per update", {0, 0.9999});
    capacity_fields(v);
  }
};

constexpr size_t kCandidates = 64;  // equal steps up to the limit

class NeededCapacity : public Capacity {
 public:
  NeededCapacity(const Options& options, const Setup&)
      : Capacity(options), dropped_(options.dropped), decay_(options.decay), state_(1 + kCandidates) {
    for (size_t i = 1; i <= kCandidates; ++i) {
      candidates_.push_back(options.limit * static_cast<double>(i) / static_cast<double>(kCandidates));
    }
  }

  double factor(uint64_t) const override {
    if (state_[0] == 0) return largest();
    for (size_t i = 0; i < kCandidates; ++i) {
      if (state_[1 + i] <= dropped_ * state_[0]) return candidates_[i];
    }
    return largest();
  }
  double largest() const override { return candidates_.back(); }
  std::span<const double> candidates() const override { return candidates_; }

  void after_step(const CapacityFeedback& feedback) override {
    average(0, feedback.assignments);
    for (size_t i = 0; i < kCandidates; ++i) average(1 + i, feedback.dropped_by_candidate[i]);
  }

  std::span<double> state() override { return state_; }

 private:
  void average(size_t i, double value) { state_[i] = decay_ * state_[i] + (1 - decay_) * value; }

  const double dropped_, decay_;
  std::vector<double> candidates_;
  std::vector<double> state_;  // averages: assignments, then what each candidate would have dropped
};

}  // namespace

Member needed_capacity() {
  return member<Capacity, NeededCapacity, Options>("needed",
                                                   "the smallest factor that keeps drops at or below a target share");
}

}  // namespace moe
