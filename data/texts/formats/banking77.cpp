#include <algorithm>

#include "core/base/json_text.h"
#include "data/file_kind.h"
#include "data/texts/csv.h"
#include "data/texts/text_format.h"
#include "data/texts/text_lines.h"

namespace moe {

static std::vector<std::string> read_categories(const std::string& path) {
  try {
    return parse_json(read_text_input(path)).get<std::vector<std::string>>();
  } catch (const JsonError& error) {
    raise<DataError>("{} is not a list of names: {}", path, error.what());
  }
}

static void read_part(const std::string& path, const std::vector<std::string>& classes, TextSet& set) {
  for_each_csv_record(path, [&](const std::vector<std::string>& fields, int64_t line) {
    if (fields.size() != 2) refuse_line(path, line, "{} fields; expected a text and a category", fields.size());
    if (line == 1 && fields[0] == "text") return;  // the heading
    const auto found = std::find(classes.begin(), classes.end(), fields[1]);
    if (found == classes.end()) {
      refuse_line(path, line, "the category '{}' is not in categories.json", fields[1].substr(0, 40));
    }
    set.add(fields[0], static_cast<int32_t>(found - classes.begin()));
  });
}

bool has_banking77_texts(const std::string& folder) {
  return find_input(folder, "train.csv") && find_input(folder, "categories.json");
}

TextFiles read_banking77_texts(const std::string& folder) {
  const auto categories = find_input(folder, "categories.json"), train = find_input(folder, "train.csv");
  if (!categories || !train) raise<DataError>("{} has no {}", folder, categories ? "train.csv" : "categories.json");
  TextFiles files;
  files.classes = read_categories(*categories);
  read_part(*train, files.classes, files.train);
  if (files.train.size() == 0) raise<DataError>("{} is empty", *train);
  if (const auto test = find_input(folder, "test.csv")) read_part(*test, files.classes, files.test);
  return files;
}

}  // namespace moe
