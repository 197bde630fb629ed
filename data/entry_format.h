// How a text is cut into entries (documents, lines, articles of a dictionary), of which every k-th can be
// held out.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

#include "core/base/table.h"
#include "data/text_input.h"

namespace moe {

// `offset`: the position in the input at which the entry begins.
using EntryVisitor = std::function<void(std::string_view entry, int64_t offset)>;

struct EntryFormat {
  std::string_view name;
  std::string_view help;
  void (*read)(TextReader& reader, const EntryVisitor& visit);
  bool of_documents = false;  // its entries are the input's documents, so every file must be one
};

const Table<EntryFormat>& entry_formats();

}  // namespace moe
