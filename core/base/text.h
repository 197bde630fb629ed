// Small helpers for text shown to users.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string lower_case(std::string text);  // of ASCII letters
// A field of comma-separated values (RFC 4180): in quotes where the text needs them.
std::string csv_field(const std::string& text);

// Number of bytes of the well-formed UTF-8 character at the start of `text`, which is not empty; 0 if there is none.
size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);
// The text for people's eyes: U+FFFD stands for bytes that are not UTF-8 and for control characters other than line
// breaks and tabs, which could control a terminal.
std::string shown(std::string_view text);

// The candidate with the smallest edit distance to `word`, or "" if none is close enough.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace moe
