// Compressed input: gzip, xz, zstd, several members in one file.
#include <archive.h>
#include <archive_entry.h>

#include "data/byte_stream.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  ByteStream stream{InputFile(scratch_file("input", input))};
  static std::vector<char> block(1 << 16);
  int64_t total = 0;
  for (int64_t bytes = 0; (bytes = stream.read(block.data(), std::ssize(block))) > 0;) {
    total += bytes;
    if (total > (int64_t{8} << 20)) return;  // a few bytes may stand for gigabytes; a stream holds none of them
  }
  if (stream.compression().empty()) require(total == std::ssize(input), "a plain file is read as it is");
  require(stream.stored_bytes() == std::ssize(input), "all stored bytes were read");
}

static std::string packed(int (*filter)(archive*), const std::string& text) {
  std::string out(4096, '\0');
  size_t used = 0;
  archive* writer = archive_write_new();
  require(filter(writer) == ARCHIVE_OK && archive_write_set_format_raw(writer) == ARCHIVE_OK, "libarchive can pack");
  archive_write_set_bytes_per_block(writer, 0);
  require(archive_write_open_memory(writer, out.data(), out.size(), &used) == ARCHIVE_OK, "libarchive can write");
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_pathname(entry, "data");
  archive_write_header(writer, entry);
  archive_write_data(writer, text.data(), text.size());
  archive_entry_free(entry);
  archive_write_close(writer);
  archive_write_free(writer);
  out.resize(used);
  return out;
}

static std::vector<std::string> seeds() {
  std::vector<std::string> result = {"plain text\n"};
  for (const auto filter :
       {archive_write_add_filter_gzip, archive_write_add_filter_xz, archive_write_add_filter_zstd}) {
    const std::string one = packed(filter, "one two three, one two three, one two three\n");
    result.push_back(one);
    result.push_back(one + packed(filter, "and more\n"));
  }
  return result;
}

static const FuzzTarget target{"compressed", read_input, seeds};

}  // namespace moe
