#include "data/texts/text_lines.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <system_error>

namespace moe {

std::string first_line(const std::string& path) {
  std::string first;
  for_each_line(path, [&](std::string_view line, int64_t) {
    if (first.empty()) first = line;
  });
  return first;
}

int32_t label_from(std::string_view field, int32_t largest, const std::string& path, int64_t line, const char* what) {
  int32_t value = -1;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc() || end != field.data() + field.size() || value < 0 || value > largest) {
    refuse_line(path, line, "the {} is '{}'; expected 0 to {}", what, field.substr(0, 40), largest);
  }
  return value;
}

static std::optional<int64_t> whole_number(const std::string& word) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

static std::vector<std::string> class_names(const std::vector<NamedText>& texts) {
  std::set<std::string> distinct;
  for (const NamedText& text : texts) distinct.insert(text.label);
  std::vector<std::string> names(distinct.begin(), distinct.end());
  const auto is_number = [](const std::string& name) { return whole_number(name).has_value(); };
  if (std::all_of(names.begin(), names.end(), is_number)) {
    std::sort(names.begin(), names.end(),
              [](const std::string& a, const std::string& b) { return *whole_number(a) < *whole_number(b); });
  }
  return names;
}

TextFiles with_named_labels(const std::string& folder, const std::string& ending,
                            std::vector<NamedText> (*read)(const std::string& path)) {
  TextFiles files;
  const auto add = [&](const std::string& part, TextSet& set) {
    const auto path = find_input(folder, part + ending);
    if (!path) return;
    const std::vector<NamedText> texts = read(*path);
    if (files.classes.empty()) files.classes = class_names(texts);
    for (const NamedText& text : texts) {
      const auto found = std::find(files.classes.begin(), files.classes.end(), text.label);
      if (found == files.classes.end()) {
        refuse_line(*path, text.line, "the label '{}' is not one of the training file's {}", text.label.substr(0, 40),
                    files.classes.size());
      }
      set.add(text.text, static_cast<int32_t>(found - files.classes.begin()));
    }
  };
  add("train", files.train);
  if (files.train.size() == 0) raise<DataError>("{}/train{} is absent or empty", folder, ending);
  add("validation", files.validation);
  add("test", files.test);
  return files;
}

}  // namespace moe
