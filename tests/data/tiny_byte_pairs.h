// A small byte-pair vocabulary with a few merges, as files.
#pragma once
#include <filesystem>
#include <string>

#include "core/base/json.h"
#include "core/base/json_text.h"
#include "data/posix_file.h"
#include "data/tokenizers/byte_pair_files.h"
#include "tests/support/temporary_folder.h"

namespace moe {

// All bytes in their order, then the results of the merges, then the end-of-document mark.
inline Json tiny_tokens(const std::vector<std::string>& merges) {
  Json tokens = Json::object();
  for (int byte = 0; byte < 256; ++byte) tokens[spelling_of_byte(static_cast<unsigned char>(byte))] = byte;
  for (std::string merge : merges) tokens[merge.erase(merge.find(' '), 1)] = tokens.size();
  tokens[BytePairTokenizer::kEndOfDocument] = tokens.size();
  return tokens;
}

// Ids: 256 "to", 257 " b", 258 " be", 259 "ab", 260 "abc", 261 "\xC3\xA9", 262 the mark. Returns the folder.
inline std::string write_tiny_byte_pairs(const TemporaryFolder& folder) {
  const std::vector<std::string> merges = {"t o",
                                           "\xC4\xA0 b",
                                           "\xC4\xA0"
                                           "b e",
                                           "a b",
                                           "ab c",
                                           "\xC3\x83 \xC2\xA9"};
  const std::string path = folder / "byte_pairs";
  std::filesystem::create_directories(path);
  std::string text = "#version: 0.2\n";
  for (const std::string& merge : merges) text += merge + "\n";
  write_text_file(path + "/vocab.bpe", text);
  write_text_file(path + "/encoder.json", json_text(tiny_tokens(merges)));
  return path;
}

}  // namespace moe
