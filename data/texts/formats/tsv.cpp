#include "data/texts/text_format.h"
#include "data/texts/text_lines.h"

namespace moe {

static std::vector<NamedText> read_tsv(const std::string& path) {
  std::vector<NamedText> texts;
  for_each_line(path, [&](std::string_view line, int64_t number) {
    const size_t tab = line.find('\t');
    if (tab == line.npos) refuse_line(path, number, "no tab between the label and its text");
    if (tab == 0) refuse_line(path, number, "the label is empty");
    texts.push_back({std::string(line.substr(0, tab)), std::string(line.substr(tab + 1)), number});
  });
  return texts;
}

bool has_tsv_texts(const std::string& folder) {
  return find_input(folder, "train.tsv") && !has_imdb_texts(folder);
}

TextFiles read_tsv_texts(const std::string& folder) {
  return with_named_labels(folder, ".tsv", read_tsv);
}

}  // namespace moe
