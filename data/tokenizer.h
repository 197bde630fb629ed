// Text to token ids and back. The tokenizer of a prepared corpus is stored inside its corpus.json, so that a
// model trained on the corpus can be fed and read without any other file.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/table.h"

namespace moe {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string_view name() const = 0;
  virtual int64_t vocab_size() const = 0;
  // Everything that from_json needs, "name" included.
  virtual nlohmann::json to_json() const = 0;

  // Appends the ids of `text`. Text that cannot be expressed is a DataError that names the byte and its
  // offset, counted from `text_offset`: the place of `text` in its file.
  void encode(std::string_view text, std::vector<int32_t>& ids, int64_t text_offset = 0) const {
    encode_text(text, text_offset, ids);
  }
  // The bytes of `ids`. An id outside [0, vocab_size) is a DataError.
  std::string decode(std::span<const int32_t> ids) const;

 protected:
  virtual void encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids) const = 0;
  virtual void append_bytes(int32_t id, std::string& bytes) const = 0;
};

// Runs over the whole training text once per call, handing it over in consecutive pieces. Pieces end at a
// line end or a blank where there is one, so that a tokenizer which merges neighbouring bytes sees whole
// words.
using TextVisitor = std::function<void(std::string_view piece)>;
using TrainingText = std::function<void(const TextVisitor&)>;

struct TokenizerOptions {
  int64_t min_count = 1;  // of a word that gets an id of its own
};

struct TokenizerEntry {
  std::string_view name;
  std::string_view help;
  std::unique_ptr<Tokenizer> (*from_json)(const nlohmann::json&);
  // Learns from a training text; null where a tokenizer cannot be made from text.
  std::unique_ptr<Tokenizer> (*train)(const TrainingText&, const TokenizerOptions&);
};

const Table<TokenizerEntry>& tokenizers();

// The tokenizer that to_json described. `origin` (a path) goes into the DataError about an unusable
// description.
std::unique_ptr<Tokenizer> load_tokenizer(const nlohmann::json& description, const std::string& origin);

}  // namespace moe
