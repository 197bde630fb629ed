// The tokenizer of a checkpoint or corpus of this program, from the file that describes it.
#pragma once
#include <memory>
#include <string>

#include "data/tokenizer.h"

namespace moe {

// The name of the file in checkpoints. In those of earlier versions it is called tokenizer.json, as Hugging Face's is;
// the content tells them apart.
constexpr const char* kTokenizerFile = "moe_tokenizer.json";
constexpr const char* kOldTokenizerFile = "tokenizer.json";

// options.vocabulary: the file, the folder of a checkpoint that has it, or of a prepared corpus.
std::unique_ptr<Tokenizer> make_trained_tokenizer(const TrainingText& text, const TokenizerOptions& options);
bool is_trained_tokenizer(const std::string& path);
// The file that has the description for such a path.
std::string trained_tokenizer_file(const std::string& path);

}  // namespace moe
