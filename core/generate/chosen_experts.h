// The experts of each token of texts that a model reads and writes.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "core/generate/model_reader.h"
#include "core/model/model.h"
#include "core/moe/routing_record.h"

namespace moe {

class ChosenExperts {
 public:
  // Records the choices of the model's MoE layers while it lives.
  explicit ChosenExperts(Model& model);
  ~ChosenExperts();
  ChosenExperts(const ChosenExperts&) = delete;

  // Call it after each forward pass (ReaderOptions::visit).
  void collect(std::span<const ReadToken> tokens);

  size_t layers() const { return records_.size(); }
  int64_t block(size_t layer) const { return model_.moe_layers()[layer]->layer(); }
  int64_t experts(size_t layer) const { return model_.moe_layers()[layer]->num_experts(); }
  // The experts of a token in a layer, best first, when it was read for the first time; none for a token that was not
  // read, such as the last one of a text.
  std::vector<int32_t> of(int64_t text, int64_t index, size_t layer) const;

 private:
  Model& model_;
  std::vector<RoutingRecord> records_;
  std::map<std::pair<int64_t, int64_t>, std::vector<std::vector<int32_t>>> chosen_;  // by text and index, per layer
};

}  // namespace moe
