// Adds experts that are copies of existing ones. If every expert is copied equally often and k grows by the same
// factor, the model's function is preserved, because the copies share their origin's weight (docs/experts.md). Net2Net
// (Chen et al., 2016) for experts.
#include <algorithm>
#include <limits>

#include "core/moe/expert_event.h"

namespace moe {
namespace {

struct Options : Fields<Options>, EventOptions {
  double factor = 2;
  int64_t limit = 0;
  std::string copy = "evenly";
  bool scale_k = false;
  double noise = 0, router_noise = 0;

  void fields(FieldVisitor& v) override {
    v.field("factor", factor, "factor on the number of experts; the result is rounded down", {1, 1024});
    v.field("limit", limit, "maximum number of experts; 0 = no limit", {0, 1 << 16});
    v.field("copy", copy,
            "which experts are copied: evenly = all in turn; busiest = each time the one with the most use per copy",
            {"evenly", "busiest"});
    scale_field(v, scale_k);
    v.field("noise", noise,
            "standard deviation of the noise on the copies' weights, relative to the weights' root mean square",
            {0, 10});
    v.field("router_noise", router_noise,
            "standard deviation of the noise on the copies' router rows, relative to the rows' root mean square",
            {0, 10});
    schedule_fields(v);
  }
};

class GrowEvent : public ExpertEvent {
 public:
  GrowEvent(const Options& options, const Setup& setup)
      : ExpertEvent("grow", options, options, setup), options_(options) {}

  ExpertMapping map(const ExpertUse& use) const override {
    const int64_t experts = use.experts();
    std::vector<int64_t> sources;
    std::vector<double> left(use.share.begin(), use.share.end()), copies(left.size(), 1);
    for (int64_t n = experts; n < experts_after(experts); ++n) {
      const auto source = options_.copy == "evenly" ? (n - experts) % experts
                                                    : std::max_element(left.begin(), left.end()) - left.begin();
      sources.push_back(source);
      const auto s = static_cast<size_t>(source);
      left[s] = use.share[s] / ++copies[s];
    }
    return growing(experts, sources, options_.noise > 0 || options_.router_noise > 0);
  }

  int64_t experts_after(int64_t experts) const override {
    const int64_t limit = options_.limit > 0 ? options_.limit : std::numeric_limits<int32_t>::max();
    const auto wanted = static_cast<int64_t>(options_.factor * static_cast<double>(experts) + 1e-9);
    return std::max(experts, std::min(wanted, limit));
  }
  bool scales_k() const override { return options_.scale_k; }
  double noise() const override { return options_.noise; }
  double router_noise() const override { return options_.router_noise; }

 private:
  const Options options_;
};

}  // namespace

Member grow_event() {
  return member<ExpertEvent, GrowEvent, Options>("grow", "adds copies of experts");
}

}  // namespace moe
