#include "data/entry_format.h"

#include "data/entries/gcide.h"
#include "data/entries/plain.h"

namespace moe {

const Table<EntryFormat>& entry_formats() {
  static const Table<EntryFormat> table(
      "entry format",
      {
          {"lines", "every line is an entry", read_line_entries},
          {"paragraphs", "entries end with a blank line", read_paragraph_entries},
          {"documents", "every file, and every text of JSON lines, is an entry", read_document_entries, true},
          {"gcide", "the dictd text of the package dict-gcide, cleaned to plain English", read_gcide_entries},
      });
  return table;
}

}  // namespace moe
