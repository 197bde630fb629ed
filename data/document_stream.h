// The text of one input, as one or several documents.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/byte_stream.h"
#include "data/file_kind.h"
#include "data/input_file.h"

namespace moe {

struct TextSource {
  InputFile file;
  // For JSON lines, of which each is a document: the member that holds the text. Empty: the file is plain text.
  std::string text_field = {};
  // Plain text is one document.
  bool is_document = false;
};

// How a file of plain text or of JSON lines is recognised: it holds JSON lines when its first line that is not blank is
// a JSON object. Reads the beginning of the file. Throws DataError for a file that is neither, as TextCheck does, and
// for JSON lines without the member `text_field`. An empty `text_field`: everything is plain text.
TextSource recognise_text(InputFile file, const std::string& text_field, bool is_document);

// One pass. Documents end with a line end, which is added where it is missing, and empty ones are left out; text that
// is not a document stays as it is. Byte order marks are skipped.
class DocumentStream {
 public:
  explicit DocumentStream(const TextSource& source);

  // Appends the next text, up to a few megabytes, to `text`, and the places in `text` where documents begin to
  // `begins`. Returns false at the end of the source. Throws DataError, with file and line, for JSON lines that are
  // not.
  bool read(std::string& text, std::vector<size_t>& begins);

  const ByteStream& bytes() const { return bytes_; }
  bool had_mark() const { return had_mark_; }

 private:
  bool read_block(std::string& text);
  void read_plain(std::string& text, std::vector<size_t>& begins);
  void read_lines(std::string& text, std::vector<size_t>& begins);
  void add_line(std::string_view line, std::string& text, std::vector<size_t>& begins);

  TextSource source_;
  ByteStream bytes_;
  TextCheck check_;
  std::string waiting_;  // of JSON lines: the beginning of a line
  int64_t line_ = 0;     // number of the last line
  bool begun_ = false, ended_ = false, had_mark_ = false;
  char last_ = '\0';  // of the plain text so far
};

}  // namespace moe
