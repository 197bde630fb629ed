// The texts that a corpus is made from, read in order as if they were one file. Memory use does not depend on their
// size.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "data/document_hashes.h"
#include "data/document_stream.h"
#include "data/hash_set.h"
#include "data/preparation_progress.h"

namespace moe {

struct TextInputOptions {
  TextFieldOptions field = {};
  // Files of plain text end with a line end, as those of folders do (document_stream.h).
  bool documents = false;
  // Of documents with the same text all but the first are left out, as if they were not there.
  bool deduplicate = false;
  std::string copies = {};                  // the folder for copies of pipes, as InputFile takes it
  PreparationProgress* progress = nullptr;  // shown while everything is read once
};

class TextInput {
 public:
  // `paths`: files of text or of JSON lines, compressed or not, pipes, "-" for standard input, or folders whose files
  // (data/document_files.h) are documents. Reads everything once. Throws DataError when there are no inputs, one
  // cannot be read or is not text, or all of them are empty.
  explicit TextInput(std::vector<std::string> paths, const TextInputOptions& options = {});

  const std::vector<std::string>& paths() const { return paths_; }
  const std::vector<TextSource>& sources() const { return sources_; }
  // Their names in the description of a corpus: without the folders of files that were named themselves.
  const std::vector<std::string>& source_names() const { return source_names_; }
  int64_t total_bytes() const { return total_bytes_; }          // of text
  int64_t total_documents() const { return total_documents_; }  // of text, each plain file is one
  // Documents that were left out, and their bytes; they are not among those above.
  int64_t duplicates() const { return duplicates_; }
  int64_t duplicate_bytes() const { return duplicate_bytes_; }
  // Whether document `index` of all, duplicates too, is left out.
  bool leaves_out(int64_t index) const {
    return index < std::ssize(is_duplicate_) && is_duplicate_[static_cast<size_t>(index)];
  }
  // The inputs with sizes and hashes of their stored bytes. Equal descriptions mean equal texts.
  const Json& description() const { return description_; }

 private:
  void end_document(DocumentHasher& hasher);
  Json add_file(InputFile file, const std::string& name, bool is_document, const TextInputOptions& options);
  Json add_folder(const std::string& path, const TextInputOptions& options);

  std::vector<std::string> paths_;
  std::vector<TextSource> sources_;
  std::vector<std::string> source_names_;
  int64_t total_bytes_ = 0, total_documents_ = 0, stored_bytes_ = 0;
  int64_t duplicates_ = 0, duplicate_bytes_ = 0;
  std::vector<bool> is_duplicate_;  // by document; empty unless duplicates are left out
  HashSet documents_;
  Json description_ = Json::array();
};

// One pass over a TextInput.
class TextReader {
 public:
  explicit TextReader(const TextInput& input) : input_(input) {}

  // The position of the next byte in the whole input.
  int64_t offset() const { return offset_; }
  // Whether a document begins at `offset`, where the line or piece that was returned last begins.
  bool document_begins_at(int64_t offset) const;
  // The index of the source that holds the text at `offset`, which has been read.
  int64_t source_of(int64_t offset) const;

  // Returns at most `limit` bytes (and at most a megabyte) of one document. Where more of it follows, the piece ends
  // before the line end or blank after its last whole line, or else its last whole word, if it has one; it never ends
  // within a run of them. Empty at the end of the input. Valid until the next call.
  std::string_view next_piece(int64_t limit);
  // Returns one line with its line end, or nothing at the end of the input. Valid until the next call. Throws DataError
  // for a line longer than 64 MiB.
  std::optional<std::string_view> next_line();

 private:
  bool refill();  // appends to the buffer; false at the end of the input
  void leave_out(size_t before, std::vector<size_t>& begins);
  std::string_view take(size_t bytes);

  const TextInput& input_;
  std::optional<DocumentStream> stream_;
  size_t next_source_ = 0;
  std::string buffer_;
  size_t begin_ = 0;  // start of the text that has not been returned
  int64_t offset_ = 0;
  int64_t num_documents_ = 0;           // that have begun, duplicates too
  std::vector<int64_t> source_begins_;  // the offsets at which the sources so far begin
  std::deque<int64_t> documents_;       // where documents begin in the buffer and in the text that was returned last
};

}  // namespace moe
