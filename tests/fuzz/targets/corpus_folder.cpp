// A prepared folder: corpus.json, of which the input is the text, and small files of tokens.
#include <filesystem>

#include "data/corpus.h"
#include "data/corpus_preparation.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

// Prepares a corpus of a small text and returns its description.
static std::string prepare(const std::string& tokenizer) {
  PreparationOptions options;
  std::string text;
  for (int i = 0; i < 30; ++i) text += "one two three four\n";
  options.inputs = {scratch_file("input.txt", text)};
  options.output = scratch_folder() + "/corpus";
  options.tokenizer = tokenizer;
  options.force = true;
  prepare_corpus(options);
  return file_content(options.output + "/corpus.json");
}

static void read_input(std::string_view input) {
  static const std::string prepared = prepare("word");
  scratch_file("corpus/corpus.json", input);
  const Corpus corpus = Corpus::open(scratch_folder() + "/corpus");
  corpus.doubts();
  for (const Split& split : corpus.splits()) require(split.num_tokens() >= 0, "a split has a size");
  corpus.verify();
}

static std::vector<std::string> seeds() {
  return {prepare("word"), prepare("char"), prepare("byte")};
}

static const FuzzTarget target{"corpus_folder", read_input, seeds};

}  // namespace moe
