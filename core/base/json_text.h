// JSON as text: parsing and writing.
#pragma once
#include <string>
#include <string_view>

#include "core/base/json.h"

namespace moe {

// Throws JsonError when the text is not JSON, or has more than 500 levels of arrays and objects.
Json parse_json(std::string_view text);
// Returns null instead.
Json parse_json_or_null(std::string_view text);

// On one line, or with `indent` spaces per level. For files that are read again: a string that is not UTF-8, such as a
// label or a token that is bytes, becomes {"base64": ...}, which get<std::string>() reads. In a key U+FFFD stands for
// such bytes.
std::string json_text(const Json& json, int indent = -1);
// For people and other programs: writes U+FFFD for bytes that are not UTF-8.
std::string json_text_replacing(const Json& json, int indent = -1);

}  // namespace moe
