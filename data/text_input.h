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
#include "data/document_stream.h"

namespace moe {

struct TextInputOptions {
  // The member of JSON lines that holds the text; empty: JSON lines are plain text.
  std::string text_field = "text";
  // Every file is a document (document_stream.h), not only those of folders and JSON lines.
  bool documents = false;
};

class TextInput {
 public:
  // `paths`: files of text or of JSON lines, compressed or not, pipes, "-" for standard input, or folders whose files
  // (data/document_files.h) are documents. Reads everything once. Throws DataError when there are no inputs, one
  // cannot be read or is not text, or all of them are empty.
  explicit TextInput(std::vector<std::string> paths, const TextInputOptions& options = {});

  const std::vector<std::string>& paths() const { return paths_; }
  const std::vector<TextSource>& sources() const { return sources_; }
  int64_t total_bytes() const { return total_bytes_; }  // of text
  // The inputs with sizes and hashes of their stored bytes. Equal descriptions mean equal texts.
  const Json& description() const { return description_; }

 private:
  Json add_file(InputFile file, const std::string& name, bool is_document, const TextInputOptions& options);
  Json add_folder(const std::string& path, const TextInputOptions& options);

  std::vector<std::string> paths_;
  std::vector<TextSource> sources_;
  int64_t total_bytes_ = 0;
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

  // Returns at most `limit` bytes (and at most a megabyte). Where more text follows, the piece ends before the line end
  // or blank after its last whole line, or else its last whole word, if it has one; it never ends within a run of them.
  // Empty at the end of the input. Valid until the next call.
  std::string_view next_piece(int64_t limit);
  // Returns one line with its line end, or nothing at the end of the input. Valid until the next call. Throws DataError
  // for a line longer than 64 MiB.
  std::optional<std::string_view> next_line();

 private:
  bool refill();  // appends to the buffer; false at the end of the input
  std::string_view take(size_t bytes);

  const TextInput& input_;
  std::optional<DocumentStream> stream_;
  size_t next_source_ = 0;
  std::string buffer_;
  size_t begin_ = 0;  // start of the text that has not been returned
  int64_t offset_ = 0;
  std::deque<int64_t> documents_;  // where documents begin in the buffer and in the text that was returned last
};

}  // namespace moe
