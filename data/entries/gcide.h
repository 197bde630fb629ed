// The Collaborative International Dictionary of English as the package dict-gcide ships it: plain English definitions
// with wrapped lines, syllable marks, transliterated letters and source tags.
#pragma once
#include <string>

#include "data/entry_format.h"

namespace moe {

// Visits all entries; they end with a blank line. The preface is left out. Throws DataError for a text without a single
// entry.
void read_gcide_entries(TextReader& reader, const EntryVisitor& visit);

// Cleans one entry. Source tags ("[1913 Webster]"), syllabified headwords ("\Ap"ple\") and pronunciations are dropped,
// letters are spelled plainly ("[=a]" is "a", "[ae]" is "ae"), cross references lose their braces, and every paragraph
// and numbered sense is put on one line.
std::string clean_gcide_entry(std::string_view raw);

}  // namespace moe
