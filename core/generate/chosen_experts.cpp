#include "core/generate/chosen_experts.h"

#include "core/base/check.h"

namespace moe {

ChosenExperts::ChosenExperts(Model& model) : model_(model), records_(model.moe_layers().size()) {
  for (size_t i = 0; i < records_.size(); ++i) {
    records_[i].weighs = true;  // and which choices a capacity dropped
    model.moe_layers()[i]->record_choices(&records_[i]);
  }
}

ChosenExperts::~ChosenExperts() {
  for (MoELayer* layer : model_.moe_layers()) layer->record_choices(nullptr);
}

void ChosenExperts::collect(std::span<const ReadToken> tokens) {
  for (size_t t = 0; t < tokens.size(); ++t) {
    auto& layers = chosen_[{tokens[t].text, tokens[t].index}];
    if (!layers.empty()) continue;
    for (const RoutingRecord& record : records_) {
      const auto slots = static_cast<size_t>(record.slots);
      // Those that a capacity dropped did nothing for the token.
      const std::vector<int32_t>& all = record.kept.empty() ? record.chosen : record.kept;
      MOE_CHECK(all.size() == tokens.size() * slots, "{} choices of {} tokens", all.size(), tokens.size());
      std::vector<int32_t>& own = layers.emplace_back();
      for (size_t i = 0; i < slots; ++i)
        if (all[t * slots + i] >= 0) own.push_back(all[t * slots + i]);
    }
  }
  for (RoutingRecord& record : records_) {
    record.place.clear();
    record.chosen.clear();
    record.kept.clear();
    record.weights.clear();
  }
}

std::vector<int32_t> ChosenExperts::of(int64_t text, int64_t index, size_t layer) const {
  const auto found = chosen_.find({text, index});
  return found == chosen_.end() ? std::vector<int32_t>{} : found->second.at(layer);
}

}  // namespace moe
