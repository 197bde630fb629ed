// SentencePiece (Kudo and Richardson, 2018), by its library: a model that another program made, or one that is learned
// from the training text. It reads line by line; the end of a line is the mark </s>. How many bytes a piece stands for
// depends on the text, which a model may normalise before it cuts it up.
#pragma once
#include <memory>
#include <string>

#include "data/tokenizer.h"

namespace moe {

class SentencePieceTokenizer : public Tokenizer {
 public:
  // `model`: the bytes of a .model file. Throws DataError for what is none, for one without </s>, and in a build
  // without SentencePiece.
  explicit SentencePieceTokenizer(std::string model);
  ~SentencePieceTokenizer() override;
  static std::unique_ptr<Tokenizer> from_json(const nlohmann::json& description);
  // options.vocabulary: a .model file; or options.vocab_size: of a unigram model that is learned from at most 64 MiB of
  // the text, taken evenly. It normalises nothing and spells unknown characters in bytes, so it gives every text back.
  static std::unique_ptr<Tokenizer> make(const TrainingText& text, const TokenizerOptions& options);

  std::string_view name() const override { return "sentencepiece"; }
  int64_t vocab_size() const override;
  nlohmann::json to_json() const override;
  std::optional<int32_t> end_of_document() const override;

 protected:
  int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                      std::vector<int32_t>* lengths) const override;
  void append_bytes(int32_t id, std::string& bytes) const override;

 private:
  struct Model;
  std::unique_ptr<Model> model_;
};

}  // namespace moe
