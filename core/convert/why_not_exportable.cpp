#include "core/convert/why_not_exportable.h"

#include <algorithm>

#include "core/convert/exportable.h"
#include "core/convert/gguf_layout.h"
#include "core/convert/hf_layout.h"

namespace moe {

template <class Layout>
static bool expresses(const Table<Layout>& layouts, const PlainModel& model) {
  return std::any_of(layouts.begin(), layouts.end(),
                     [&](const Layout& layout) { return why_not(layout, model).empty(); });
}

std::string why_not_exportable(const TrainConfig& config, int64_t tokens, const RunLength& run) {
  if (config.task != "language_model") return {};
  const auto last = static_cast<uint64_t>(std::max<int64_t>(run.total_updates, 1) - 1);
  const PlainForm form = plain_form(config, tokens, run, last);
  if (!form.refusals.empty()) return to_words(form.refusals);
  if (expresses(hf_layouts(), form.model) || expresses(gguf_layouts(), form.model)) return {};
  return "no layout has this combination of norms, scores, shared experts and biases";
}

}  // namespace moe
