// Removes the least used experts, the same number in every layer. Their tokens go to the remaining experts.
#include <algorithm>

#include "core/moe/expert_event.h"

namespace moe {
namespace {

struct Options : Fields<Options>, EventOptions {
  int64_t count = 1, least = 1;
  bool scale_k = false;

  void fields(FieldVisitor& v) override {
    v.field("count", count, "number of experts that each layer loses", {1, 1 << 16});
    v.field("least", least, "number of experts that must remain, otherwise the event does not happen", {1, 1 << 16});
    scale_field(v, scale_k);
    schedule_fields(v);
    use_fields(v);
  }
};

class PruneEvent : public ExpertEvent {
 public:
  PruneEvent(const Options& options, const Setup& setup)
      : ExpertEvent("prune", options, options, setup), options_(options) {}

  ExpertMapping map(const ExpertUse& use) const override {
    std::vector<int64_t> which = under_used(use);
    const int64_t experts = use.experts(), count = experts - experts_after(experts);
    if (static_cast<int64_t>(which.size()) < count) return identity_mapping(experts);
    which.resize(static_cast<size_t>(count));
    return pruning(experts, which);
  }

  int64_t experts_after(int64_t experts) const override {
    return experts - options_.count >= options_.least ? experts - options_.count : experts;
  }
  bool scales_k() const override { return options_.scale_k; }

 private:
  const Options options_;
};

}  // namespace

Member prune_event() {
  return member<ExpertEvent, PruneEvent, Options>("prune", "removes the least used experts");
}

}  // namespace moe
