// Byte pairs in the form of tiktoken: a file of tokens with their ranks, and the rule by which a text is cut into
// words, which such a file does not hold. The ids are those of tiktoken's encode_ordinary.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/pipeline/pipeline_tokenizer.h"

namespace moe {

class TiktokenTokenizer : public PipelineTokenizer {
 public:
  // `tokens`: in the order of their ranks, with each byte as its own visible character (byte_pair_files.h). `pattern`:
  // gpt2, cl100k, o200k, or a regular expression. Throws DataError for a byte without a token, a token that occurs
  // twice, an expression that ICU rejects, and in a build without ICU.
  TiktokenTokenizer(std::vector<std::string> tokens, std::string pattern);
  static std::unique_ptr<Tokenizer> from_json(const Json& description);
  // options.vocabulary: the file; options.pattern: the rule.
  static std::unique_ptr<Tokenizer> make(const TrainingText& text, const TokenizerOptions& options);
  // Lines of a token in base64, a blank and its rank.
  static bool is_vocabulary(const std::string& path);

  std::string_view name() const override { return "tiktoken"; }
  Json to_json() const override;

 private:
  std::vector<std::string> tokens_;
  std::string pattern_;
};

}  // namespace moe
