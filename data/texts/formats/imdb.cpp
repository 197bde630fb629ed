#include <array>

#include "data/texts/text_format.h"
#include "data/texts/text_lines.h"

namespace moe {

constexpr size_t kBefore = 3;  // number of fields before the review: label, number, rating

// The fields before the review and where the review begins; nothing for a line with too few fields.
struct Review {
  std::array<std::string_view, kBefore> fields;
  std::string_view text;
};
static std::optional<Review> cut(std::string_view line) {
  Review review;
  for (std::string_view& field : review.fields) {
    const size_t tab = line.find('\t');
    if (tab == line.npos) return std::nullopt;
    field = line.substr(0, tab);
    line.remove_prefix(tab + 1);
  }
  review.text = line;
  return review;
}

static void read_part(const std::string& path, TextSet& set) {
  for_each_line(path, [&](std::string_view line, int64_t number) {
    const auto review = cut(line);
    if (!review)
      refuse_line(path, number, "fewer than 4 fields; expected label, number, rating and review, separated by tabs");
    label_from(review->fields[2], 10, path, number, "rating");
    set.add(review->text, label_from(review->fields[0], 1, path, number, "label"));
  });
}

bool has_imdb_texts(const std::string& folder) {
  const auto path = find_input(folder, "train.tsv");
  if (!path) return false;
  const std::string line = first_line(*path);
  const auto first = cut(line);
  const auto is_number = [](std::string_view field) {
    return !field.empty() && field.find_first_not_of("0123456789") == field.npos;
  };
  return first && is_number(first->fields[0]) && is_number(first->fields[1]) && is_number(first->fields[2]);
}

TextFiles read_imdb_texts(const std::string& folder) {
  TextFiles files;
  files.classes = {"negative", "positive"};
  if (const auto path = find_input(folder, "train.tsv")) read_part(*path, files.train);
  if (const auto path = find_input(folder, "test.tsv")) read_part(*path, files.test);
  if (files.train.size() == 0) raise<DataError>("{}/train.tsv is absent or empty", folder);
  return files;
}

}  // namespace moe
