#include "data/tokenizers/pipeline/character_map.h"

#include <cstring>

#include "core/base/check.h"
#include "data/tokenizers/pipeline/unicode.h"

namespace moe {

CharacterMap::CharacterMap(std::string_view bytes) {
  uint32_t tree_bytes = 0;
  if (bytes.size() < sizeof(tree_bytes)) throw DataError("a compiled normalisation is too short");
  std::memcpy(&tree_bytes, bytes.data(), sizeof(tree_bytes));  // little-endian, as all that the program reads
  bytes.remove_prefix(sizeof(tree_bytes));
  if (tree_bytes > bytes.size() || tree_bytes % sizeof(uint32_t) != 0 || tree_bytes == 0)
    raise<DataError>("a compiled normalisation has {} bytes for a tree of {}", bytes.size(), tree_bytes);
  units_.resize(tree_bytes / sizeof(uint32_t));
  std::memcpy(units_.data(), bytes.data(), tree_bytes);
  results_ = bytes.substr(tree_bytes);
}

// A unit has the label of its byte, whether a result follows, and where its children lie relative to it.
std::optional<std::string_view> CharacterMap::find(std::string_view text) const {
  const auto offset = [](uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
  constexpr uint32_t kLabel = 1u << 31 | 0xFF, kHasResult = 1u << 8, kResult = ~(1u << 31);
  size_t node = offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || (units_[node] & kLabel) != byte) return std::nullopt;
    const uint32_t unit = units_[node];
    node ^= offset(unit);
    if ((unit & kHasResult) == 0) continue;
    if (node >= units_.size() || (units_[node] & kResult) >= results_.size()) return std::nullopt;
    const std::string_view rest = std::string_view(results_).substr(units_[node] & kResult);
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

AlignedText CharacterMap::apply(const AlignedText& text) const {
  constexpr size_t kShort = 6;  // bytes; longer clusters are replaced by character
  AlignedText result = AlignedText::in_place_of(text);
  const std::string_view old = text.text();
  for_each_grapheme(old, [&](size_t begin, size_t end) {
    const std::string_view cluster = old.substr(begin, end - begin);
    if (cluster.size() < kShort) {
      if (const auto found = find(cluster)) {
        result.append(*found, text.end_of(end));
        return;
      }
    }
    for (size_t at = begin; at < end;) {
      const size_t from = at;
      next_character(old, at);
      const auto found = find(old.substr(from, at - from));
      result.append(found ? *found : old.substr(from, at - from), text.end_of(at));
    }
  });
  return result;
}

}  // namespace moe
