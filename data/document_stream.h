// The text of one input, as one or several documents.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_stream.h"
#include "data/chat_template.h"
#include "data/file_kind.h"
#include "data/input_file.h"

namespace moe {

enum class TextFormat { plain, json_lines, columns, chats };

struct TextSource {
  InputFile file;
  TextFormat format = TextFormat::plain;
  // Of JSON lines and of columns, where each text is a document: the member, or the column, that holds the text.
  std::string text_field = {};
  char separator = '\0';                          // of columns: kCsv or kTsv
  int64_t column = 0;                             // of columns: the index of the text's
  bool has_header = false;                        // the first record names the columns
  std::shared_ptr<const ChatTemplate> chat = {};  // of chats: JSON lines that are conversations
  // A file of plain text becomes a document as those of JSON lines are: with a line end.
  bool is_document = false;
};

struct TextFieldOptions {
  // The member of JSON lines, or the column of CSV and TSV, that holds the text; a column may be given by its number,
  // counted from 1. Empty: everything is plain text.
  std::string name = "text";
  // It was asked for, so files of columns are recognised too. Otherwise they are plain text.
  bool is_chosen = false;
  // Every file holds conversations as JSON lines, which this writes as texts; the name is not used.
  std::shared_ptr<const ChatTemplate> chat = {};
};

// How a file is recognised. It holds JSON lines when its first line that is not blank is a JSON object. It holds
// columns when the field was chosen, and its first record, separated by tabs or by commas, has a field of that name or
// number. Reads the beginning of the file. Throws DataError for a file that is no text, as TextCheck does, for JSON
// lines without the member, and for other files without the column where the field was chosen.
TextSource recognise_text(InputFile file, const TextFieldOptions& field, bool is_document);

// One pass. A file of plain text is one document, and so is each text of JSON lines and of columns. These, and files
// with is_document, end with a line end, which is added where it is missing, and empty ones are left out; other plain
// text stays as it is. Byte order marks are skipped.
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
  void read_columns(std::string& text, std::vector<size_t>& begins);
  void add_record(std::string& text, std::vector<size_t>& begins);
  void check_waiting() const;

  TextSource source_;
  ByteStream bytes_;
  TextCheck check_;
  std::string waiting_;              // of JSON lines and columns: the beginning of a line or record
  int64_t line_ = 0;                 // number of complete lines before it
  std::vector<std::string> fields_;  // of a record
  bool had_header_ = false;
  bool begun_ = false, ended_ = false, had_mark_ = false;
  char last_ = '\0';  // of the plain text so far
};

}  // namespace moe
