// Texts -> a prepared corpus folder (corpus.h). The input is streamed, so memory use does not depend on its size.
#pragma once
#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/synthetic.h"
#include "data/text_input.h"

namespace moe {

struct PreparationOptions {
  std::vector<std::string> inputs;  // as TextInput takes them
  std::string output;
  std::string name;                // default: the name of the output folder
  std::string tokenizer = "byte";  // a member of tokenizers()
  std::string split;               // in the syntax of SplitRule::parse; default 90/5/5
  std::string entries;             // a member of entry_formats(); cuts the text before it is split
  int64_t hold_out = 0;            // every k-th entry; default 20 where `entries` is given, paragraphs where it is not
  bool force = false;              // replace a prepared corpus of other inputs or options
  TokenizerOptions vocabulary = {};  // the options of the tokenizer
  bool end_of_document = false;      // an end-of-document token after every document, which the tokenizer must have
  TextFieldOptions field = {};       // as in TextInputOptions
  bool deduplicate = false;          // likewise
};

// Returns false when the folder already holds exactly this corpus. The folder appears under its name only when it is
// complete. A folder that is not a prepared corpus is never changed. Throws UsageError and DataError.
bool prepare_corpus(PreparationOptions options);

// Writes a synthetic corpus as a prepared folder, under the same rules.
bool prepare_synthetic(const SyntheticConfig& config, const std::string& output, bool force);

}  // namespace moe
