// Whether a configured model can be expressed in the terms that other programs share, and as what. One table has a line
// for each key of `model` and `moe`; a test compares it with the configuration's fields.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/config/train_config.h"
#include "core/convert/method_lines.h"
#include "core/convert/plain_model.h"

namespace moe {

struct KeyLine {
  const char* key;
  Fate fate;
  const char* how;  // what becomes of it, or with which values it is refused
  // Why the configured value is refused; empty if it is not. Null where no value is.
  std::string (*refusal)(const TrainConfig& config);
};
std::span<const KeyLine> key_lines();

// A reason why a model has no exact form.
struct Refusal {
  std::string key, reason;
  bool has_nearest = false;  // --approximate may leave it out
};

struct PlainForm {
  PlainModel model;
  std::map<int64_t, RouterPlan> routers;  // of the MoE blocks
  std::vector<Refusal> refusals;          // empty: `model` computes exactly the same
};

// `vocab`: ids of the tokenizer; `update`: the one whose scheduled values count, the last one made.
PlainForm plain_form(const TrainConfig& config, int64_t vocab, const RunLength& run, uint64_t update);

// "model.norm: reason; moe.router: reason"
std::string to_words(const std::vector<Refusal>& refusals);

}  // namespace moe
