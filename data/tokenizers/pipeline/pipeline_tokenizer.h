// Tokenizers as Hugging Face's library describes them in a tokenizer.json: added tokens, a normaliser, a pre-tokeniser,
// a model and a decoder, each of which is one of several kinds (the files beside this one). The ids are those of that
// library with encode_special_tokens: a text that spells a special token is text. A kind that is not supported is
// refused by its name.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"
#include "data/tokenizers/pipeline/added_tokens.h"
#include "data/tokenizers/pipeline/decoder.h"
#include "data/tokenizers/pipeline/model.h"
#include "data/tokenizers/pipeline/normalizer.h"
#include "data/tokenizers/pipeline/pre_tokenizer.h"
#include "data/tokenizers/pipeline/word_cache.h"

namespace moe {

class PipelineTokenizer : public Tokenizer {
 public:
  static constexpr const char* kName = "huggingface";

  // `file`: the content of a tokenizer.json. Throws DataError for a kind that is not supported, and in a build without
  // ICU.
  explicit PipelineTokenizer(Json file);
  static std::unique_ptr<Tokenizer> from_json(const Json& description);
  // options.vocabulary: a tokenizer.json or a folder with one.
  static std::unique_ptr<Tokenizer> make(const TrainingText& text, const TokenizerOptions& options);
  // Recognised by its content, because tokenizers of our own are JSON, too.
  static bool is_vocabulary(const std::string& path);
  static std::string file_of(const std::string& path);  // the file, where `path` is its folder

  std::string_view name() const override { return kName; }
  int64_t vocab_size() const override { return static_cast<int64_t>(decoded_.size()); }
  Json to_json() const override;
  std::optional<std::vector<int32_t>> bytes_by_id() const override;
  std::optional<int32_t> end_of_document() const override { return end_of_document_; }
  EncodedPart encode_part(std::string_view text, const TextPart& part, std::vector<int32_t>& ids,
                          TokenMeasures* measures) const override;

 protected:
  int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                      TokenMeasures* measures) const override;
  void append_bytes(int32_t id, std::string& bytes) const override;

 private:
  struct Unit;   // a word, or a token that was found in the text
  struct Units;  // those of a text
  class Encoding;
  void decode_vocabulary();
  void add_text(std::string_view text, size_t origin, bool continues, Units& units) const;
  void add_words(AlignedText text, bool continues, Units& units) const;
  Units units_of(std::string_view text, const TextPart& part) const;
  static size_t decided(const Units& units);
  EncodedPart encode_units(const Units& units, size_t count, std::string_view text, size_t bytes, int64_t offset,
                           std::vector<int32_t>& ids, TokenMeasures* measures) const;
  EncodedPart encode_alone(std::string_view text, const TextPart& part, std::vector<int32_t>& ids,
                           TokenMeasures* measures) const;
  struct Slice;
  static std::vector<Slice> slices_of(std::string_view text);
  void encode_slice(std::string_view text, const TextPart& part, Slice& slice, bool measured) const;
  std::unique_ptr<WordCache> take_cache() const;

  Json file_;
  std::vector<AddedToken> added_;
  TextNormalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  std::unique_ptr<PieceVocabulary> vocabulary_;
  std::unique_ptr<SubwordModel> model_;
  AddedTokenFinder in_text_, in_normalised_text_;
  std::string cut_before_;            // a mark before which words may be cut; empty: none
  std::vector<std::string> decoded_;  // the text of each id; empty for marks
  bool drops_first_blank_ = false;    // in decoding, because encoding adds one
  std::optional<int32_t> end_of_document_;
  mutable std::mutex mutex_;  // of the caches
  mutable std::vector<std::unique_ptr<WordCache>> caches_;
};

}  // namespace moe
