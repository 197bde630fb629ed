#include "data/tokenizers/byte_pair_files.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "data/lines.h"
#include "data/posix_file.h"

namespace moe {

namespace fs = std::filesystem;

namespace {

constexpr bool is_visible(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

// The character that represents each byte.
constexpr std::array<uint32_t, 256> kCharacters = [] {
  std::array<uint32_t, 256> characters{};
  uint32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    characters[as_index(byte)] = is_visible(byte) ? static_cast<uint32_t>(byte) : next++;
  }
  return characters;
}();

// The byte of each character below U+0200, -1 for none.
constexpr std::array<int, 0x200> kBytes = [] {
  std::array<int, 0x200> bytes{};
  bytes.fill(-1);
  for (size_t byte = 0; byte < 256; ++byte) bytes[kCharacters[byte]] = static_cast<int>(byte);
  return bytes;
}();

// The names of each file, GPT-2's first.
using Names = std::array<const char*, 2>;
constexpr Names kTokenFiles = {"encoder.json", "vocab.json"}, kMergeFiles = {"vocab.bpe", "merges.txt"};

std::string first_of(const std::string& folder, const Names& names) {
  for (const char* name : names) {
    if (const std::string path = folder + "/" + name; fs::exists(path)) return path;
  }
  raise<DataError>("{}: contains no {} of a byte-pair vocabulary", folder, names[0]);
}

std::vector<std::string> read_tokens(const std::string& path) {
  Json json;
  try {
    json = parse_json(read_text_file(path));
  } catch (const JsonError& error) {
    raise<DataError>("{}: {}", path, error.what());
  }
  if (!json.is_object() || json.empty()) raise<DataError>("{}: not an object of tokens and their ids", path);
  std::vector<std::string> tokens(json.size());
  std::vector<bool> seen(json.size());
  for (const auto& [token, id] : json.items()) {
    if (!id.is_unsigned() || id.get<size_t>() >= tokens.size() || seen[id.get<size_t>()]) {
      raise<DataError>("{}: the id of '{}' is {}; expected each number below {} once", path, token, json_text(id),
                       tokens.size());
    }
    seen[id.get<size_t>()] = true;
    tokens[id.get<size_t>()] = token;
  }
  return tokens;
}

std::vector<std::string> read_merges(const std::string& path) {
  std::vector<std::string> merges;
  for_each_line(path, [&](std::string_view line, int64_t number) {
    if (number == 1 && line.starts_with("#version")) return;
    const size_t blank = line.find(' ');
    if (blank == 0 || blank == line.npos || blank + 1 == line.size() || line.find(' ', blank + 1) != line.npos)
      refuse_line(path, number, "'{}' is not a merge of two tokens", line);
    merges.emplace_back(line);
  });
  return merges;
}

}  // namespace

std::string spelling_of_byte(unsigned char byte) {
  const uint32_t character = kCharacters[byte];
  if (character < 0x80) return std::string(1, static_cast<char>(character));
  return {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 0x3F))};
}

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
  std::string bytes;
  for (size_t i = 0; i < spelling.size(); ++i) {
    uint32_t character = static_cast<unsigned char>(spelling[i]);
    if (character >= 0x80) {  // all of these have two bytes in UTF-8
      if ((character & 0xE0) != 0xC0 || i + 1 == spelling.size()) return std::nullopt;
      character = (character & 0x1F) << 6 | (static_cast<unsigned char>(spelling[++i]) & 0x3F);
    }
    if (character >= kBytes.size() || kBytes[character] < 0) return std::nullopt;
    bytes += static_cast<char>(kBytes[character]);
  }
  return bytes;
}

bool holds_byte_pairs(const std::string& folder) {
  const auto exists = [&](const char* name) { return fs::exists(folder + "/" + name); };
  return fs::is_directory(folder) && (std::any_of(kTokenFiles.begin(), kTokenFiles.end(), exists) ||
                                      std::any_of(kMergeFiles.begin(), kMergeFiles.end(), exists));
}

BytePairTokenizer::Vocabulary read_byte_pairs(const std::string& folder) {
  if (!fs::is_directory(folder)) raise<DataError>("{}: not a folder of a byte-pair vocabulary", folder);
  return {read_tokens(first_of(folder, kTokenFiles)), read_merges(first_of(folder, kMergeFiles))};
}

}  // namespace moe
