// A checkpoint that is exported, and its model in the terms that other programs share.
#pragma once
#include <string>

#include "core/base/json.h"
#include "core/checkpoint/checkpoint.h"
#include "core/config/train_config.h"
#include "core/convert/exportable.h"

namespace moe {

struct ExportSource {
  std::string checkpoint;  // its folder
  RunState state;
  TrainConfig config;
  Json description;  // Task::description(): of a text its tokenizer
  PlainForm form;
};

// Throws CheckpointError.
ExportSource open_export_source(const std::string& checkpoint);

// Throws UsageError, which names all that other programs do not compute, and then gives the advice.
void require_exact(const PlainForm& form, const std::string& advice = {});
// The same for a model from which some of it may be left out: throws where there is nothing near to it.
void require_nearest(const PlainForm& form);

}  // namespace moe
