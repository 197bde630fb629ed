// SentencePiece (Kudo and Richardson, 2018), by its library: a model that another program made, or one that is learned
// from the training text. Text is encoded line by line; the end of a line is the token </s>. How many bytes a piece
// stands for depends on the text, because a model may normalise it before cutting it into pieces.
#pragma once
#include <memory>
#include <string>

#include "data/tokenizer.h"

namespace moe {

class SentencePieceTokenizer : public Tokenizer {
 public:
  // `model`: the bytes of a .model file. Throws DataError for anything else, for a model without </s>, and in a build
  // without SentencePiece.
  explicit SentencePieceTokenizer(std::string model);
  ~SentencePieceTokenizer() override;
  static std::unique_ptr<Tokenizer> from_json(const Json& description);
  // options.vocabulary: a .model file; or options.vocab_size: the size of a unigram model, which is learned from at
  // most 64 MiB of the text, taken evenly. That model does not normalise and encodes unknown characters as bytes, so
  // decoding restores every text.
  static std::unique_ptr<Tokenizer> make(const TrainingText& text, const TokenizerOptions& options);
  // A .model file begins with its first piece: the protobuf field 1. No text file begins with this byte but one whose
  // first line is empty.
  static bool is_vocabulary(const std::string& path);

  std::string_view name() const override { return "sentencepiece"; }
  int64_t vocab_size() const override;
  Json to_json() const override;
  std::optional<int32_t> end_of_document() const override;

 protected:
  int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                      TokenMeasures* measures) const override;
  void append_bytes(int32_t id, std::string& bytes) const override;

 private:
  struct Model;
  std::unique_ptr<Model> model_;
};

}  // namespace moe
