#include "tests/support/compressed.h"

#include <archive.h>
#include <archive_entry.h>

#include <stdexcept>

namespace moe {

std::string compressed(std::string_view bytes, const std::string& compression) {
  if (compression.empty()) return std::string(bytes);
  std::string packed(bytes.size() + 4096, '\0');
  size_t used = 0;
  archive* out = archive_write_new();
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_pathname(entry, "data");
  const bool done = archive_write_add_filter_by_name(out, compression.c_str()) == ARCHIVE_OK &&
                    archive_write_set_format_raw(out) == ARCHIVE_OK &&
                    archive_write_set_bytes_in_last_block(out, 1) == ARCHIVE_OK &&
                    archive_write_open_memory(out, packed.data(), packed.size(), &used) == ARCHIVE_OK &&
                    archive_write_header(out, entry) == ARCHIVE_OK &&
                    archive_write_data(out, bytes.data(), bytes.size()) == static_cast<la_ssize_t>(bytes.size()) &&
                    archive_write_close(out) == ARCHIVE_OK;
  archive_entry_free(entry);
  archive_write_free(out);
  if (!done) throw std::runtime_error("cannot compress with " + compression);
  packed.resize(used);
  return packed;
}

}  // namespace moe
