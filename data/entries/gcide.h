// The Collaborative International Dictionary of English as the package dict-gcide ships it: wrapped lines,
// syllable marks, transliterated letters and source tags round plain English definitions.
#pragma once
#include <string>

#include "data/entry_format.h"

namespace moe {

// The preface is left out; entries end with a blank line. Text without a single entry is a DataError.
void read_gcide_entries(TextReader& reader, const EntryVisitor& visit);

// One entry, cleaned: source tags ("[1913 Webster]"), syllabified headwords ("\Ap"ple\") and pronunciations
// dropped, letters spelled plainly ("[=a]" is "a", "[ae]" is "ae"), cross references without braces, every
// paragraph and numbered sense on one line.
std::string clean_gcide_entry(std::string_view raw);

}  // namespace moe
