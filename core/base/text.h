// Small helpers for text shown to users.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace moe {

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);

// The candidate with the smallest edit distance to `word`, or "" if none is close enough.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace moe
