// A datastore: a key and the token that followed it for each token of a text, in a folder of its own. docs/retrieval.md
// describes the files.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "core/base/json.h"
#include "core/checkpoint/number_format.h"
#include "core/retrieval/token_keys.h"

namespace moe {

// What a store is of.
struct StoreFacts {
  std::string checkpoint{};  // folder of the checkpoint that computed the keys
  std::string model{};       // hash of its weights
  std::string vocabulary{};  // hash of its tokenizer
  std::string data{};        // name of the corpus
  std::string path{};        // where it was
  std::string split{};
  std::string text{};       // content hash of the split
  std::string documents{};  // how they were treated; empty where there are none
  int64_t num_documents = 0;
  int64_t context = 0, stride = 0;  // of the windows in which the keys were computed
  KeyKind key = KeyKind::hidden;
  NumberFormat format = NumberFormat::f16;
  int64_t width = 0;  // numbers of a key
  int64_t count = 0;  // entries
};

// The hash of a checkpoint's weights, whatever its optimizer's state. Throws CheckpointError.
std::string model_hash(const std::string& checkpoint);

// A file that is mapped into memory. Throws CheckpointError for one that cannot be read, or has another size.
class MappedFile {
 public:
  MappedFile(const std::string& path, int64_t bytes);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  const std::string& path() const { return path_; }
  const char* data() const { return static_cast<const char*>(data_); }
  int64_t bytes() const { return bytes_; }

 private:
  std::string path_;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Writes a store to `folder`, which must not exist or be empty, and which appears when the store is complete. `fill`
// calls add(tokens) with the entries, in the order of the text; memory does not depend on their number. facts.width and
// facts.count are set from them. Throws CheckpointError, also for a key that the format cannot hold.
using StoreSink = std::function<void(const KeyedTokens& tokens)>;
void write_store(const std::string& folder, StoreFacts facts, const std::function<void(const StoreSink& add)>& fill);

class KeyStore {
 public:
  // Maps a store. Throws CheckpointError for one that is missing, damaged, truncated or of another version. The content
  // of the keys is not read here; see verify().
  explicit KeyStore(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const StoreFacts& facts() const { return facts_; }
  // Identifies the store's content.
  const std::string& hash() const { return hash_; }
  int64_t size() const { return facts_.count; }
  int64_t width() const { return facts_.width; }
  int32_t next(int64_t entry) const { return next_[entry]; }
  int64_t position(int64_t entry) const { return positions_[entry]; }
  // The keys [begin, begin + count) as f32 (count, width).
  void read_keys(int64_t begin, int64_t count, std::span<float> out) const;
  // Reads all keys and throws CheckpointError if they are not what was written.
  void verify() const;
  // Throws CheckpointError unless the keys are of this model and vocabulary.
  void require(const std::string& model, const std::string& vocabulary) const;

 private:
  KeyStore(const std::string& folder, const Json& header);

  std::string folder_, hash_;
  StoreFacts facts_;
  std::string keys_hash_;
  MappedFile key_file_, next_file_, position_file_;
  const int32_t* next_;
  const int64_t* positions_;
};

// Reads a JSON object of a file that ends with its own hash. Throws CheckpointError if it is absent, damaged, or not of
// this format.
Json read_hashed_json(const std::string& path, const std::string& format);
// The text of such a file; `json` gets its format and hash.
std::string hashed_json(Json json, const std::string& format);

}  // namespace moe
