// corpus.json: the description of a prepared corpus folder.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "data/unknown_text.h"

namespace moe {

constexpr std::array<std::string_view, 3> kSplitNames = {"train", "validation", "test"};

// Documents of a split that is held out.
struct DocumentCounts {
  int64_t all = 0;
  int64_t in_training = 0;  // those whose text is that of a training document, too
};

struct CorpusManifest {
  struct Split {
    std::string name;
    std::string file;  // relative to the folder
    int64_t num_tokens = 0;
    std::optional<int64_t> raw_bytes;
    std::string payload_hash;  // XXH64 of the token bytes, in hexadecimal
    // Used where a token's id does not determine its length in bytes: a file of the lengths, token by token, in the
    // format of token files.
    std::string lengths_file, lengths_hash;
    // How much of the text is unknown; nothing where it was not counted, as in older corpora and without a text. Where
    // it is any, a file like that of the lengths has the bytes of unknown text, token by token.
    std::optional<UnknownText> unknown;
    std::string unknown_file, unknown_hash;
    // The index of its documents (document_index.h); empty in older corpora, and without documents.
    int64_t num_documents = 0;
    std::string documents_file, documents_hash;
    // An index of the spans that are scored, in corpora of conversations (Split::set_scored).
    std::string scored_file, scored_hash;
    // For held-out splits: nothing where it was not counted.
    std::optional<int64_t> documents_in_training;
  };

  std::string name;
  Json tokenizer;
  int64_t vocab_size = 0;
  std::vector<Split> splits;
  std::vector<std::string> sources;  // the names of the files that documents come from
  Json source;                       // inputs with their sizes and hashes, and the options of the preparation
  std::optional<double> entropy_rate;

  // Whether the file still has the content that was written; nothing for one of an earlier version, which has no hash
  // of itself. Set by read().
  std::optional<bool> as_written;

  static std::string path_in(const std::string& folder) { return folder + "/corpus.json"; }
  static bool exists_in(const std::string& folder);
  // Throws DataError when the file is absent or not JSON, has a foreign or newer format, or lacks a field.
  static CorpusManifest read(const std::string& folder);
  void write(const std::string& folder) const;
};

}  // namespace moe
