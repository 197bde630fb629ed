#include "core/tasks/inherited_tokenizer.h"

#include <filesystem>

#include "core/base/json.h"
#include "core/checkpoint/checkpoint.h"

namespace moe {

// A language model's checkpoint stores it in a separate file, a classifier's in the description of its samples.
static std::unique_ptr<Tokenizer> tokenizer_of(const std::string& checkpoint) {
  for (const char* name : {"tokenizer.json", "samples.json"}) {
    const std::string file = checkpoint + "/" + name;
    if (!std::filesystem::exists(file)) continue;
    const auto json = parse_json_or_discard(read_text(file));
    if (json.is_discarded()) raise<CheckpointError>("{} is damaged", file);
    if (name == std::string("tokenizer.json")) return load_tokenizer(json, file);
    if (json.contains("tokenizer")) return load_tokenizer(json["tokenizer"], file);
  }
  raise<CheckpointError>("init.from: {} has no tokenizer, so its model was not trained on text", checkpoint);
}

std::unique_ptr<Tokenizer> inherited_tokenizer(const TrainConfig& config) {
  const CheckpointFolder own(config.run_folder() + "/checkpoints");
  if (const auto last = own.last()) return tokenizer_of(own.path(*last));
  if (config.init.from.empty()) return nullptr;
  return tokenizer_of(find_checkpoint(config.init.from, config.init.checkpoint));
}

}  // namespace moe
