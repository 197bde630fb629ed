// README.md of an exported model: what it is, how it was trained, and how it is loaded.
#pragma once
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "core/convert/exportable.h"
#include "core/convert/hf_layout.h"
#include "core/convert/hf_tokenizer.h"

namespace moe {

struct CardFacts {
  const TrainConfig& config;
  const RunState& state;
  const std::string& checkpoint;
  const HfLayout& layout;
  const PlainForm& form;
  const HfTokenizer& tokenizer;
  int64_t parameters = 0;
  NumberFormat format = NumberFormat::f32;
};

std::string model_card(const CardFacts& facts);

}  // namespace moe
