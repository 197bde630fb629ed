#include "data/texts/text_format.h"
#include "data/texts/text_lines.h"

namespace moe {

static void read_part(const std::string& folder, const std::string& part, TextSet& set) {
  const auto path = find_input(folder, "sst2_" + part + ".tsv");
  if (!path) return;
  for_each_line(*path, [&](std::string_view line, int64_t number) {
    if (number == 1 && line == "sentence\tlabel") return;
    const size_t tab = line.rfind('\t');
    if (tab == line.npos) refuse_line(*path, number, "no tab between the sentence and its label");
    set.add(line.substr(0, tab), label_from(line.substr(tab + 1), 1, *path, number, "label"));
  });
}

bool has_sst2_texts(const std::string& folder) {
  return find_input(folder, "sst2_train.tsv").has_value();
}

TextFiles read_sst2_texts(const std::string& folder) {
  TextFiles files;
  files.classes = {"negative", "positive"};
  read_part(folder, "train", files.train);
  read_part(folder, "dev", files.validation);
  read_part(folder, "test", files.test);
  if (files.train.size() == 0) raise<DataError>("{}/sst2_train.tsv is absent or empty", folder);
  return files;
}

}  // namespace moe
