// Small tokenizer.json files with the ids that Hugging Face's tokenizers give for texts. tests/interop/
// write_tokenizers.py writes them.
#pragma once
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/json_text.h"
#include "data/posix_file.h"
#include "tests/support/temporary_folder.h"

namespace moe {

// The names of the files, and what one of them holds: "file", the tokenizer.json, and "ids" of each text.
inline std::vector<std::string> golden_tokenizers() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(MOE_GOLDEN_TOKENIZERS))
    names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}
inline Json golden_tokenizer(const std::string& name) {
  return parse_json(read_text_file(fmt::format("{}/{}.json", MOE_GOLDEN_TOKENIZERS, name)));
}
inline std::vector<std::string> golden_texts() {
  return golden_tokenizer("gpt2").at("texts").get<std::vector<std::string>>();
}

// Writes the tokenizer.json alone and returns its path.
inline std::string write_golden_tokenizer(const TemporaryFolder& folder, const std::string& name) {
  const std::string path = folder / (name + "-tokenizer.json");
  write_text_file(path, json_text(golden_tokenizer(name).at("file")));
  return path;
}

// A vocabulary in tiktoken's form, "file", with tiktoken's ids of the first texts by each rule for words.
inline Json golden_tiktoken() {
  return parse_json(read_text_file(fmt::format("{}_tiktoken.json", MOE_GOLDEN_TOKENIZERS)));
}
inline std::string write_golden_tiktoken(const TemporaryFolder& folder) {
  const std::string path = folder / "golden.tiktoken";
  write_text_file(path, golden_tiktoken().at("file").get<std::string>());
  return path;
}

}  // namespace moe
