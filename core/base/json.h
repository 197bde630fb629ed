// Parsing and writing of JSON. Both are compiled once, in json.cpp: every file that calls nlohmann's functions directly
// compiles the whole parser or serializer again, which takes seconds.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace moe {

// Throws nlohmann::json::parse_error when the text is not JSON.
nlohmann::json parse_json(std::string_view text);
// Returns a discarded value instead (is_discarded() is true; it is neither an object nor an array).
nlohmann::json parse_json_or_discard(std::string_view text);

// On one line, or with `indent` spaces per level. Throws nlohmann::json::type_error when a string is not UTF-8.
std::string json_text(const nlohmann::json& json, int indent = -1);
std::string json_text(const nlohmann::ordered_json& json, int indent = -1);
// Writes U+FFFD for bytes that are not UTF-8.
std::string json_text_replacing(const nlohmann::json& json, int indent = -1);
std::string json_text_replacing(const nlohmann::ordered_json& json, int indent = -1);

}  // namespace moe
