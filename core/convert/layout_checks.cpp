#include "core/convert/layout_checks.h"

#include <algorithm>

#include "core/base/integer.h"

namespace moe {

void unless(bool holds, const char* reason, Reasons& reasons) {
  if (!holds) reasons.emplace_back(reason);
}

void check_dense(const PlainModel& m, Reasons& reasons) {
  unless(!m.has_experts(), "it has no experts", reasons);
}
void check_all_moe(const PlainModel& m, Reasons& reasons) {
  unless(m.has_experts() && m.all_moe(), "it has experts in every layer", reasons);
}
void check_leading_dense(const PlainModel& m, Reasons& reasons) {
  unless(std::find(m.is_moe.begin() + m.leading_dense(), m.is_moe.end(), false) == m.is_moe.end(),
         "its dense layers come before all others", reasons);
}
void check_softmax(const PlainModel& m, Reasons& reasons) {
  unless(!m.experts.routing.sigmoid, "its scores are a softmax", reasons);
}
void check_renormalised(const PlainModel& m, bool wanted, Reasons& reasons) {
  unless(m.experts.routing.renormalise == wanted,
         wanted ? "it divides the chosen experts' weights by their sum"
                : "it does not divide the chosen experts' weights by their sum",
         reasons);
}
void check_not_shared(const PlainModel& m, Reasons& reasons) {
  unless(m.experts.shared_d_ff == 0, "it has no shared experts", reasons);
}
void check_whole_shared(const PlainModel& m, Reasons& reasons) {
  unless(!m.experts.shared_gate, "its shared experts have no gate", reasons);
  unless(m.experts.d_ff > 0 && m.experts.shared_d_ff % m.experts.d_ff == 0, "a shared expert is as wide as the others",
         reasons);
}
void check_qk_norm(const PlainModel& m, QkNorm wanted, Reasons& reasons) {
  static constexpr const char* kWords[] = {"it does not normalise queries and keys",
                                           "it normalises queries and keys per head",
                                           "it normalises the whole projections of queries and keys"};
  unless(m.qk_norm == wanted, kWords[as_index(static_cast<int>(wanted))], reasons);
}
void check_head_width(const PlainModel& m, Reasons& reasons) {
  unless(m.d_head * m.heads == m.d_model, "its heads are d_model / heads wide", reasons);
}
void check_no_feed_forward_bias(const PlainModel& m, Reasons& reasons) {
  unless(!m.feed_forward_bias, "its feed-forward layers have no biases", reasons);
}

}  // namespace moe
