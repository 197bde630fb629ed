// Merges under-used experts into others: weights are averaged by use, moments are added. `similar` follows MC-SMoE (Li
// et al., 2024), which groups experts around the most used ones by router similarity.
#include <algorithm>
#include <limits>

#include "core/base/integer.h"
#include "core/moe/expert_event.h"

namespace moe {
namespace {

struct Options : Fields<Options>, EventOptions {
  int64_t count = 1, least = 1;
  std::string into = "similar";
  bool scale_k = false;

  void fields(FieldVisitor& v) override {
    v.field("count", count, "number of experts that each layer loses: its least used ones are merged", {1, 1 << 16});
    v.field("least", least, "number of experts that must remain, otherwise the event does not happen", {1, 1 << 16});
    v.field("into", into,
            "similar: each is merged into the expert with the most similar router row; together: they and the next "
            "less used one become one expert",
            {"similar", "together"});
    scale_field(v, scale_k);
    schedule_fields(v);
    use_fields(v);
  }
};

class MergeEvent : public ExpertEvent {
 public:
  MergeEvent(const Options& options, const Setup& setup)
      : ExpertEvent("merge", options, options, setup), options_(options) {}

  ExpertMapping map(const ExpertUse& use) const override {
    std::vector<int64_t> which = under_used(use);
    const int64_t experts = use.experts(), count = experts - experts_after(experts);
    if (count == 0 || static_cast<int64_t>(which.size()) < count) return identity_mapping(experts);
    if (options_.into == "together") {
      which.resize(static_cast<size_t>(count));
      for (const int64_t e : by_use(use.share)) {
        if (std::find(which.begin(), which.end(), e) != which.end()) continue;
        which.push_back(e);
        break;
      }
      return merging(use.share, {which});
    }
    return merging(use.share, similar(use, which, count));
  }

  int64_t experts_after(int64_t experts) const override {
    return experts - options_.count >= options_.least ? experts - options_.count : experts;
  }
  bool scales_k() const override { return options_.scale_k; }

 private:
  struct Group {
    std::vector<int64_t> experts;  // the most used first
    double use = 0;                // total use of the experts
    bool goes = false;             // may be merged into another group
  };

  // Repeats `count` times: merges the least used group that may be merged into the group most similar to it, comparing
  // the groups' most used experts. A merged group's use is the sum of its parts' use, so it is not soon merged again.
  // Ties: the later group is merged, and the earlier group receives it.
  std::vector<std::vector<int64_t>> similar(const ExpertUse& use, const std::vector<int64_t>& which,
                                            int64_t count) const {
    std::vector<Group> groups;
    for (int64_t e = 0; e < use.experts(); ++e) {
      groups.push_back({{e}, use.share[as_index(e)], std::find(which.begin(), which.end(), e) != which.end()});
    }
    for (int64_t n = 0; n < count; ++n) {
      auto least = groups.end();
      for (auto g = groups.begin(); g != groups.end(); ++g) {
        if (g->goes && (least == groups.end() || g->use <= least->use)) least = g;
      }
      const Group going = std::move(*least);
      groups.erase(least);
      auto best = groups.begin();
      double highest = -std::numeric_limits<double>::infinity();
      for (auto g = groups.begin(); g != groups.end(); ++g) {
        const double similarity = use.similarity(going.experts[0], g->experts[0]);
        if (similarity > highest) best = g, highest = similarity;
      }
      const bool busier = going.use > best->use;
      best->experts.insert(busier ? best->experts.begin() : best->experts.end(), going.experts.begin(),
                           going.experts.end());
      best->use += going.use;
    }
    std::vector<std::vector<int64_t>> result;
    for (const Group& group : groups) result.push_back(group.experts);
    return result;
  }

  const Options options_;
};

}  // namespace

Member merge_event() {
  return member<ExpertEvent, MergeEvent, Options>("merge", "merges the least used experts into others");
}

}  // namespace moe
