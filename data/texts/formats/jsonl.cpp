#include "core/base/json_text.h"
#include "data/texts/text_format.h"
#include "data/texts/text_lines.h"

namespace moe {

static std::vector<NamedText> read_jsonl(const std::string& path) {
  std::vector<NamedText> texts;
  for_each_line(path, [&](std::string_view line, int64_t number) {
    const auto json = parse_json_or_null(line);
    if (!json.is_object()) refuse_line(path, number, "is not a JSON object");
    const Json *label = json.find("label"), *text = json.find("text");
    if (!label || !(label->is_string() || label->is_integer()))
      refuse_line(path, number, "has no \"label\" that is a string or a whole number");
    if (!text || !text->is_string()) refuse_line(path, number, "has no \"text\" that is a string");
    texts.push_back(
        {label->is_string() ? label->get<std::string>() : json_text(*label), text->get<std::string>(), number});
  });
  return texts;
}

bool has_jsonl_texts(const std::string& folder) {
  return find_input(folder, "train.jsonl").has_value();
}

TextFiles read_jsonl_texts(const std::string& folder) {
  return with_named_labels(folder, ".jsonl", read_jsonl);
}

}  // namespace moe
