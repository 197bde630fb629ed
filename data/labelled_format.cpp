#include "data/labelled_format.h"

#include <filesystem>

#include "data/audio/sound_corpus.h"
#include "data/images/image_corpus.h"
#include "data/texts/text_format.h"

namespace moe {

const std::vector<LabelledFormat>& labelled_formats() {
  static const std::vector<LabelledFormat> all = [] {
    std::vector<LabelledFormat> formats;
    const auto add = [&](const char* kind, const auto& table) {
      for (const auto& format : table) formats.push_back({format.name, kind, format.is_in});
    };
    add("images", image_formats());
    add("sounds", sound_formats());
    add("texts", text_formats());
    return formats;
  }();
  return all;
}

static std::vector<std::string> names_of(const std::vector<const LabelledFormat*>& formats) {
  std::vector<std::string> names;
  for (const LabelledFormat* format : formats) names.emplace_back(format->name);
  return names;
}

template <>
std::vector<std::string> words_of<LabelledFormat>() {
  std::vector<std::string> words{"auto"};
  for (const LabelledFormat& format : labelled_formats()) words.emplace_back(format.name);
  return words;
}

const LabelledFormat& labelled_format(const DataConfig& config) {
  if (!std::filesystem::is_directory(config.location())) {
    raise<DataError>("{}: no such folder of labelled samples", config.location());
  }
  std::vector<const LabelledFormat*> found, known;
  for (const LabelledFormat& format : labelled_formats()) {
    if (format.name == config.labelled.format) return format;
    known.push_back(&format);
    if (config.labelled.format == "auto" && format.is_in(config.location())) found.push_back(&format);
  }
  if (found.empty())
    raise<DataError>("{} holds no labelled samples of a known format; known formats: {}", config.location(),
                     join(names_of(known), ", "));
  if (found.size() > 1)
    raise<UsageError>("data.labelled.format: {} holds {}; set the key to one of them", config.location(),
                      join(names_of(found), " and "));
  return *found[0];
}

}  // namespace moe
