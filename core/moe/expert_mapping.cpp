#include "core/moe/expert_mapping.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

bool ExpertMapping::is_identity() const {
  return *this == identity_mapping(before);
}

std::vector<int64_t> ExpertMapping::copies() const {
  std::vector<int64_t> count(static_cast<size_t>(before));
  for (const MappedExpert& expert : experts) {
    for (const ExpertOrigin& origin : expert.origins) ++count[as_index(origin.expert)];
  }
  return count;
}

int64_t ExpertMapping::uniform_copies() const {
  for (const MappedExpert& expert : experts) {
    if (expert.noisy || expert.origins.size() != 1) return 0;
  }
  const std::vector<int64_t> count = copies();
  const bool uniform = std::all_of(count.begin(), count.end(), [&](int64_t c) { return c == count[0]; });
  return uniform && !count.empty() ? count[0] : 0;
}

ExpertMapping identity_mapping(int64_t experts) {
  ExpertMapping mapping{experts, {}};
  for (int64_t e = 0; e < experts; ++e) mapping.experts.push_back({{{e, 1}}});
  return mapping;
}

ExpertMapping growing(int64_t experts, std::span<const int64_t> sources, bool noisy) {
  ExpertMapping mapping = identity_mapping(experts);
  for (const int64_t source : sources) mapping.experts.push_back({{{source, 1}}, 1, noisy});
  const std::vector<int64_t> copies = mapping.copies();
  for (MappedExpert& expert : mapping.experts) {
    expert.gradient_scale = 1.0 / static_cast<double>(copies[as_index(expert.origins[0].expert)]);
  }
  return mapping;
}

ExpertMapping pruning(int64_t experts, std::span<const int64_t> which) {
  ExpertMapping mapping = identity_mapping(experts);
  std::erase_if(mapping.experts, [&](const MappedExpert& expert) {
    return std::find(which.begin(), which.end(), expert.origins[0].expert) != which.end();
  });
  return mapping;
}

ExpertMapping merging(std::span<const double> use, const std::vector<std::vector<int64_t>>& groups) {
  const auto experts = static_cast<int64_t>(use.size());
  ExpertMapping mapping = identity_mapping(experts);
  std::vector<int64_t> gone;
  for (std::vector<int64_t> group : groups) {
    MOE_CHECK(!group.empty(), "a group to merge contains no experts");
    std::sort(group.begin(), group.end());
    double total = 0;
    for (const int64_t e : group) total += use[as_index(e)];
    MappedExpert& merged = mapping.experts[as_index(group[0])];
    merged.origins.clear();
    for (const int64_t e : group) {
      const double weight = total > 0 ? use[as_index(e)] / total : 1.0 / static_cast<double>(group.size());
      merged.origins.push_back({e, weight});
    }
    gone.insert(gone.end(), group.begin() + 1, group.end());
  }
  std::sort(gone.begin(), gone.end());
  for (auto e = gone.rbegin(); e != gone.rend(); ++e) mapping.experts.erase(mapping.experts.begin() + *e);
  return mapping;
}

ExpertMapping restarting(std::span<const double> use, std::span<const int64_t> which) {
  ExpertMapping mapping = identity_mapping(static_cast<int64_t>(use.size()));
  std::vector<double> left(use.begin(), use.end());
  for (const int64_t dead : which) left[as_index(dead)] = -1;
  for (const int64_t dead : which) {
    const auto busiest = std::max_element(left.begin(), left.end());
    if (*busiest < 0) break;  // all experts are to be restarted: there is none to copy
    mapping.experts[as_index(dead)] = {{{busiest - left.begin(), 1}}, 0, true};
    *busiest /= 2;
  }
  return mapping;
}

std::vector<int64_t> by_use(std::span<const double> use) {
  std::vector<int64_t> order(use.size());
  std::iota(order.rbegin(), order.rend(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return use[as_index(a)] < use[as_index(b)]; });
  return order;
}

std::vector<double> mapped_use(const ExpertMapping& mapping, std::span<const double> use) {
  const std::vector<int64_t> copies = mapping.copies();
  std::vector<double> result;
  for (const MappedExpert& expert : mapping.experts) {
    double sum = 0;
    for (const auto& [e, weight] : expert.origins) {
      sum += use[as_index(e)] / static_cast<double>(copies[as_index(e)]);
    }
    result.push_back(sum);
  }
  return result;
}

}  // namespace moe
