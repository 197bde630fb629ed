// What a preparation that was killed had encoded, for the next one of the same inputs and options: its tokenizer, and
// the ids of its documents.
//
// A preparation writes a request beside its unfinished files: what it prepares and with which tokenizer. The next one
// reads its input in the same order and takes the ids of each document from these files as long as they decode to the
// document's text, so nothing depends on how the files end: bytes that were lost or torn end it earlier, and the corpus
// is the same as without them. Only for tokenizers whose ids determine their bytes.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "data/document_index.h"
#include "data/posix_file.h"
#include "data/tokenizer.h"

namespace moe {

class InterruptedPreparation {
 public:
  static constexpr const char* kRequestFile = "request.json";

  // Writes the request of a preparation that begins in `folder`.
  static void write_request(const std::string& folder, const Json& source, const Tokenizer& tokenizer);
  // Moves what a preparation of `source` left in `folder` to `aside`; null if there is nothing of use.
  static std::unique_ptr<InterruptedPreparation> take(const std::string& folder, const std::string& aside,
                                                      const Json& source);
  // Removes it.
  ~InterruptedPreparation();
  InterruptedPreparation(const InterruptedPreparation&) = delete;

  // The tokenizer that it made.
  std::unique_ptr<Tokenizer> tokenizer() const;
  // Opens the ids, if `tokenizer` is the same and its ids determine their bytes.
  void open(const Tokenizer& tokenizer);
  // Whether the next document of a split (an index of kSplitNames) has this text; then appends its ids, without what
  // follows it. After a document that differs nothing more is taken for the split.
  bool take_document(int split, std::string_view text, std::vector<int32_t>& ids);
  // Passes over the next document of a split, which is encoded again.
  void pass_document(int split);
  int64_t taken() const { return taken_; }  // documents

 private:
  explicit InterruptedPreparation(std::string folder, Json tokenizer)
      : folder_(std::move(folder)), description_(std::move(tokenizer)) {}

  // The unfinished files of a split, without headers.
  struct OldSplit {
    PosixFile ids, documents;
    int64_t num_ids = 0, num_documents = 0;  // that are there
    int64_t next = 0;                        // document
  };
  // Where the next document begins and ends; nothing if it is not complete.
  std::optional<std::array<int64_t, 2>> next_range(OldSplit& split) const;
  std::vector<int32_t> read_ids(const OldSplit& split, int64_t begin, int64_t end) const;

  std::string folder_;
  Json description_;  // of the tokenizer
  const Tokenizer* tokenizer_ = nullptr;
  int64_t bytes_per_id_ = 0;
  std::array<std::optional<OldSplit>, 3> splits_;
  int64_t taken_ = 0;
};

}  // namespace moe
