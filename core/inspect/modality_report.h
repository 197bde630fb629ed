// The use of experts by modality, of a model whose samples have several.
#pragma once
#include <string>

#include "core/base/json.h"
#include "core/inspect/inspection.h"

namespace moe {

// For a terminal: of each layer and modality a bar for each expert, the largest share, and the number of experts that
// would carry as much if the modality's tokens were evenly spread. Empty where there is one modality.
std::string modality_text(const Inspection& inspection, bool colour);
// A map of the loads for each modality, for a web page. Empty likewise.
std::string modality_markup(const Inspection& inspection);
// By modality: (layers, experts) shares of the assignments of its tokens. An empty object likewise.
Json modality_json(const Inspection& inspection);

}  // namespace moe
