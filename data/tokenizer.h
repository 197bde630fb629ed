// Text to token ids and back. The tokenizer of a prepared corpus is stored inside its corpus.json, so that a
// model trained on the corpus can be fed and read without any other file.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
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
    encode_text(text, text_offset, ids, nullptr);
  }
  // Also appends the bytes of `text` that each id stands for, and returns how many are left behind the last id, like
  // blanks that no token has: together they are text.size(). For tokenizers without bytes_by_id().
  int64_t encode(std::string_view text, std::vector<int32_t>& ids, std::vector<int32_t>& lengths,
                 int64_t text_offset = 0) const {
    return encode_text(text, text_offset, ids, &lengths);
  }
  // The bytes of `ids`. An id outside [0, vocab_size) is a DataError.
  std::string decode(std::span<const int32_t> ids) const;

  // Bytes of text that each id stands for (0 for marks like the end of a document); nothing where they depend on the
  // text, whose corpora keep them token by token.
  virtual std::optional<std::vector<int32_t>> bytes_by_id() const { return std::nullopt; }
  // The mark that ends a document, where there is one. No text is encoded as it.
  virtual std::optional<int32_t> end_of_document() const { return std::nullopt; }

 protected:
  // Where ids tell their bytes, `lengths` is not looked at and the result is 0; elsewhere it may be null.
  virtual int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                              std::vector<int32_t>* lengths) const = 0;
  // `bytes`: of the ids before.
  virtual void append_bytes(int32_t id, std::string& bytes) const = 0;
};

// Runs over the whole training text once per call, handing it over in consecutive pieces. They are cut in front of
// blanks and line ends, so that a tokenizer which merges neighbouring bytes sees whole words.
using TextVisitor = std::function<void(std::string_view piece)>;
using TrainingText = std::function<void(const TextVisitor&)>;

struct TokenizerOptions {
  int64_t min_count = 1;        // of a word that gets an id of its own
  std::string vocabulary = {};  // a file or folder that another program made
  int64_t vocab_size = 0;       // of a vocabulary that is learned; 0 = none is asked for
};

struct TokenizerEntry {
  std::string_view name;
  std::string_view help;
  std::unique_ptr<Tokenizer> (*from_json)(const nlohmann::json&);
  // For a training text, from which it may learn; null where a tokenizer cannot be made. An option that is not the
  // tokenizer's is a UsageError.
  std::unique_ptr<Tokenizer> (*make)(const TrainingText&, const TokenizerOptions&);
};

const Table<TokenizerEntry>& tokenizers();

// make() of a vocabulary's file or folder; a DataError that does not name it already names it then.
std::unique_ptr<Tokenizer> naming(const std::string& path, const std::function<std::unique_ptr<Tokenizer>()>& make);

// Throws UsageError where options are given that tokenizer `name` has not: `takes` names those that it has.
void refuse_foreign(const TokenizerOptions& options, std::string_view name, std::string_view takes);

// The tokenizer of another program's files: a folder of byte pairs, or a file of SentencePiece.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path);

// The tokenizer that to_json described. `origin` (a path) goes into the DataError about an unusable
// description.
std::unique_ptr<Tokenizer> load_tokenizer(const nlohmann::json& description, const std::string& origin);

}  // namespace moe
