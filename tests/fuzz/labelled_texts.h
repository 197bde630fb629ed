// Reads a folder of labelled texts as a run does.
#pragma once
#include <filesystem>

#include "data/texts/text_corpus.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

// Files of a folder: names and contents.
using LabelledFiles = std::vector<std::pair<std::string, std::string_view>>;

inline void read_labelled(const std::string& format, const LabelledFiles& files) {
  const std::string folder = scratch_folder() + "/" + format;
  std::filesystem::create_directories(folder);
  for (const auto& [name, content] : files) scratch_file(format + "/" + name, content);
  LabelledDataConfig config;
  config.validation = 1;
  config.tokenizer = "word";
  const TextCorpus corpus = TextCorpus::open(folder, format, {.config = config, .longest = 8});
  corpus.class_counts().doubts();
  corpus.class_counts().in_words();
  for (const LabelledTexts& split : corpus.splits()) {
    split.content_hash();
    for (int64_t i = 0; i < split.size(); ++i) {
      require(split.length(i) <= split.longest(), "a text is cut to the longest");
      require(split.label(i) >= 0 && split.label(i) < std::ssize(corpus.classes()), "a label is of a class");
      require(std::ssize(split.tokens(i)) == split.length(i), "a text has its tokens");
    }
  }
}

}  // namespace moe
