// Entry formats that keep every byte.
#pragma once
#include "data/entry_format.h"

namespace moe {

void read_line_entries(TextReader& reader, const EntryVisitor& visit);
// Groups of lines up to and including the blank lines that follow.
void read_paragraph_entries(TextReader& reader, const EntryVisitor& visit);
// Documents of the input: its files, or the texts of JSON lines.
void read_document_entries(TextReader& reader, const EntryVisitor& visit);

}  // namespace moe
