#include "core/train/difficulty_source.h"

#include <filesystem>

#include "core/checkpoint/checkpoint.h"
#include "data/curriculum/curriculum.h"

namespace moe {

std::string find_difficulties(const CurriculumConfig& config) {
  if (config.from.empty() || std::filesystem::is_regular_file(config.from)) return config.from;
  const std::string checkpoint = find_checkpoint(config.from, "last"), file = checkpoint + "/" + Curriculum::kFile;
  if (!std::filesystem::exists(file)) {
    raise<CheckpointError>(
        "{}: {} contains no difficulties; runs store them with curriculum.signals or a sampler that needs them",
        config.where("from"), checkpoint);
  }
  return file;
}

}  // namespace moe
