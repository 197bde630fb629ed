#include "core/tasks/inherited_tokenizer.h"

#include <filesystem>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/damage.h"
#include "core/tasks/task.h"

namespace moe {

// Every task says where its checkpoints have it.
static std::unique_ptr<Tokenizer> tokenizer_of(const std::string& checkpoint) {
  for (const TaskKind& task : tasks()) {
    const std::string file = description_file(task, checkpoint);
    if (!std::filesystem::exists(file)) continue;
    const Json description = parse_json_or_null(read_text(file));
    if (description.is_null()) raise<CheckpointError>("{} is damaged", file);
    if (const Json* tokenizer = task.tokenizer(description)) return load_tokenizer(*tokenizer, file);
  }
  raise<CheckpointError>("init.from: {} has no tokenizer, so its model was not trained on text", checkpoint);
}

std::unique_ptr<Tokenizer> inherited_tokenizer(const TrainConfig& config) {
  const CheckpointFolder own(config.run_folder() + "/checkpoints");
  const std::vector<int64_t> steps = own.steps();
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      load_run_state(own.path(*step));  // compares the files with their hashes
      return tokenizer_of(own.path(*step));
    } catch (const DamagedCheckpoint&) {
      // The run will go on from an earlier checkpoint, and has had this tokenizer from the start.
    }
  }
  if (config.init.from.empty()) return nullptr;
  return tokenizer_of(find_checkpoint(config.init.from, config.init.checkpoint));
}

}  // namespace moe
