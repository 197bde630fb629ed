// Encodes text as token ids and decodes them. The tokenizer of a prepared corpus is stored inside its corpus.json, so
// that a model trained on the corpus can encode prompts and decode its output without any other file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/table.h"
#include "core/base/words.h"

namespace moe {

// What a text has, token by token, that the ids do not determine.
struct TokenMeasures {
  std::vector<int32_t> lengths;  // bytes of the text that the token stands for
  std::vector<int32_t> unknown;  // bytes of it that the unknown token replaced; 0 for all other tokens
};

// A part of a text that is encoded part by part.
struct TextPart {
  bool continues = false;  // another part of the text precedes it
  bool ends = true;        // no other part follows
  int64_t offset = 0;      // its position in its file
};
struct EncodedPart {
  size_t bytes = 0;       // of the part that were encoded; the others belong to the next part
  int64_t uncovered = 0;  // bytes after the last id that no token covers
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Threads may call all functions at the same time.
  virtual std::string_view name() const = 0;
  virtual int64_t vocab_size() const = 0;
  // Everything that from_json needs, including "name".
  virtual Json to_json() const = 0;

  // Appends the ids of `text`. Throws DataError for text that cannot be encoded; it names the byte and its offset,
  // counted from `text_offset`, the position of `text` in its file.
  void encode(std::string_view text, std::vector<int32_t>& ids, int64_t text_offset = 0) const {
    encode_text(text, text_offset, ids, nullptr);
  }
  // Also appends the measures of each id, and returns the number of bytes after the last id that no token covers, such
  // as blanks. Lengths and result add up to text.size(). For tokenizers without bytes_by_id().
  int64_t encode(std::string_view text, std::vector<int32_t>& ids, TokenMeasures& measures,
                 int64_t text_offset = 0) const {
    return encode_text(text, text_offset, ids, &measures);
  }
  // Encodes the beginning of a part that does not depend on what follows it: nothing if the part is too short to tell.
  // The parts of a text have the ids of the whole. `measures` may be null.
  virtual EncodedPart encode_part(std::string_view text, const TextPart& part, std::vector<int32_t>& ids,
                                  TokenMeasures* measures) const {
    return {text.size(), encode_text(text, part.offset, ids, measures)};
  }
  // Returns the bytes of `ids`. Throws DataError for an id outside [0, vocab_size).
  std::string decode(std::span<const int32_t> ids) const;
  // Appends the bytes of an id that follows those whose bytes are given: decode(), one id at a time.
  void decode_next(int32_t id, std::string& bytes) const;

  // Bytes of text that each id stands for (0 for marks like the end of a document); such a tokenizer has a token for
  // every byte that it accepts, and no unknown token. Nothing where the lengths depend on the text; their corpora store
  // the measures token by token.
  virtual std::optional<std::vector<int32_t>> bytes_by_id() const { return std::nullopt; }
  // The id that marks the end of a document, if there is one. No text is encoded as this id.
  virtual std::optional<int32_t> end_of_document() const { return std::nullopt; }

 protected:
  // If ids determine their bytes, `measures` is ignored and the result is 0. Otherwise `measures` may be null.
  virtual int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                              TokenMeasures* measures) const = 0;
  // `bytes`: the bytes of the preceding ids.
  virtual void append_bytes(int32_t id, std::string& bytes) const = 0;
};

// Each call visits the whole training text once, in consecutive pieces. Pieces end before blanks and line ends, so that
// a tokenizer which merges neighbouring bytes gets whole words.
using TextVisitor = std::function<void(std::string_view piece)>;
using TrainingText = std::function<void(const TextVisitor&)>;

struct TokenizerOptions {
  int64_t min_count = 1;        // least count of a word that gets its own id
  std::string vocabulary = {};  // a file or folder that another program made
  int64_t vocab_size = 0;       // size of a vocabulary that is learned; 0 = none requested
  std::string pattern = {};     // how tiktoken's vocabularies cut a text into words
};

struct TokenizerEntry {
  std::string_view name;
  std::string_view help;
  std::unique_ptr<Tokenizer> (*from_json)(const Json&);  // null: its descriptions are of other tokenizers
  // Makes the tokenizer for a training text, from which it may learn; null where a tokenizer cannot be made from text.
  // Throws UsageError for an option that the tokenizer does not accept.
  std::unique_ptr<Tokenizer> (*make)(const TrainingText&, const TokenizerOptions&);
  // Whether the file or folder `path` is its vocabulary, made by another program. At most one tokenizer returns true
  // for a path; null where there is no such program.
  bool (*is_vocabulary)(const std::string& path);
};

const Table<TokenizerEntry>& tokenizers();
template <>
std::vector<std::string> words_of<TokenizerEntry>();  // those that can be made from texts

// The tokenizer that `word` names: one of the table, or a file or folder of another program, which becomes
// options.vocabulary. Throws UsageError for any other word, for a tokenizer without make(), and for a path beside
// another vocabulary.
const TokenizerEntry& find_tokenizer(const std::string& word, TokenizerOptions& options);

// Calls make() for a vocabulary's file or folder, and adds `path` to the message of a DataError that does not name it
// yet.
std::unique_ptr<Tokenizer> naming(const std::string& path, const std::function<std::unique_ptr<Tokenizer>()>& make);

// Throws UsageError for options that tokenizer `name` does not accept; `takes` lists the accepted ones.
void refuse_foreign(const TokenizerOptions& options, std::string_view name, std::string_view takes);

// Opens the tokenizer of another program's files: the one whose is_vocabulary() returns true. Throws DataError where
// none does. `pattern`: how tiktoken's vocabularies cut a text into words.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path, const std::string& pattern = {});

// Restores the tokenizer from the output of to_json. The DataError about an invalid description names `origin` (a
// path).
std::unique_ptr<Tokenizer> load_tokenizer(const Json& description, const std::string& origin);

}  // namespace moe
