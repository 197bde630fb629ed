// What layouts of files demand of a model, in the words of refusals: the parts that several layouts share.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/table.h"
#include "core/base/text.h"
#include "core/convert/plain_model.h"

namespace moe {

using Reasons = std::vector<std::string>;

// Each adds to `reasons` what the layout has and the model has not.
void unless(bool holds, const char* reason, Reasons& reasons);
void check_dense(const PlainModel& m, Reasons& reasons);
void check_all_moe(const PlainModel& m, Reasons& reasons);
void check_leading_dense(const PlainModel& m, Reasons& reasons);  // dense layers come before all others
void check_softmax(const PlainModel& m, Reasons& reasons);
void check_renormalised(const PlainModel& m, bool wanted, Reasons& reasons);
void check_not_shared(const PlainModel& m, Reasons& reasons);
void check_whole_shared(const PlainModel& m, Reasons& reasons);  // as wide as a whole number of experts, without a gate
void check_qk_norm(const PlainModel& m, QkNorm wanted, Reasons& reasons);
void check_head_width(const PlainModel& m, Reasons& reasons);
void check_no_feed_forward_bias(const PlainModel& m, Reasons& reasons);

// The requested layout, or else the first one, of which `why_not` has no reasons. Throws UsageError, which begins with
// `none` where it names those of all layouts.
template <class Layout>
const Layout& choose_among(const Table<Layout>& layouts, const std::string& requested,
                           const std::function<Reasons(const Layout&)>& why_not, const char* none) {
  if (!requested.empty()) {
    const Layout& layout = layouts.at(requested);
    const Reasons reasons = why_not(layout);
    if (reasons.empty()) return layout;
    raise<UsageError>("--layout {}: this model is not one: {}", requested, join(reasons, "; "));
  }
  std::vector<std::string> lines;
  for (const Layout& layout : layouts) {
    const Reasons reasons = why_not(layout);
    if (reasons.empty()) return layout;
    lines.push_back(layout.name + ": " + join(reasons, "; "));
  }
  raise<UsageError>("{}:\n  {}", none, join(lines, "\n  "));
}

}  // namespace moe
