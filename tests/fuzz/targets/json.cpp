// JSON text: what is read is written so that it reads as the same again.
#include "core/base/json_text.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  Json json;
  try {
    json = parse_json(input);
  } catch (const JsonError&) {
    require(parse_json_or_null(input).is_null(), "both parsers refuse the same texts");
    return;
  }
  const std::string text = json_text(json);
  require(json_text(parse_json(text)) == text, "JSON that was written is read as it was");
  json_text_replacing(json, 2);
}

static std::vector<std::string> seeds() {
  return {R"({"a": [1, -2, 3.5e-7, true, null, "xé\u00e9\ud83d\ude00\n"], "b": {"base64": "/w=="}, "c": {}})",
          "[18446744073709551615, -9223372036854775808, 1e400, 0.1]", std::string(60, '[') + std::string(60, ']')};
}

static const FuzzTarget target{"json", read_input, seeds};

}  // namespace moe
