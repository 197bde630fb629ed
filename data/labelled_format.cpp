#include "data/labelled_format.h"

#include <filesystem>

#include "data/images/image_corpus.h"
#include "data/texts/text_format.h"

namespace moe {

std::string labelled_format(const DataConfig& config) {
  if (!std::filesystem::is_directory(config.path)) {
    raise<DataError>("{}: no such folder of labelled samples", config.path);
  }
  if (config.labelled.format != "auto") return config.labelled.format;
  std::vector<std::string> found, known;
  const auto look = [&](const auto& table) {
    for (const auto& format : table) {
      known.emplace_back(format.name);
      if (format.is_in(config.path)) found.emplace_back(format.name);
    }
  };
  look(image_formats());
  look(text_formats());
  if (found.empty())
    raise<DataError>("{} holds no labelled samples of a known format; known formats: {}", config.path,
                     join(known, ", "));
  if (found.size() > 1)
    raise<UsageError>("data.labelled.format: {} holds {}; set the key to one of them", config.path,
                      join(found, " and "));
  return found[0];
}

}  // namespace moe
