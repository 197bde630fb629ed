// Datastores and maps of neighbours: the headers with any members, whose hashes are set right, and the files beside
// them.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/base/json_text.h"
#include "core/retrieval/key_store.h"
#include "core/retrieval/neighbour_map.h"
#include "data/content_hash.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

// Writes a header with the hashes of the files beside it, so that an input reaches what reads the members.
static void write_header(const std::string& name, std::string_view text, const char* format) {
  Json header = parse_json_or_null(text);
  scratch_file(name, header.is_object() ? hashed_json(header, format) : std::string(text));
}

static void read_input(std::string_view input) {
  const auto files = parts(input, 5);
  const std::string folder = scratch_folder() + "/store";
  std::filesystem::create_directories(folder);
  Json header = parse_json_or_null(files[0]);
  const std::pair<const char*, std::string_view> contents[] = {
      {"keys.bin", files[1]}, {"next.bin", files[2]}, {"positions.bin", files[3]}};
  for (const auto& [name, content] : contents) {
    scratch_file(std::string("store/") + name, content);
    if (header.is_object() && header.contains("files") && header.at("files").is_object())
      header["files"][name] = hash_of_text(content);
  }
  write_header("store/store.json", header.is_object() ? json_text(header) : std::string(files[0]),
               "moe-train datastore 1");
  write_header("store/neighbours.json", files[4], "moe-train neighbours 1");
  scratch_file("store/train.bin", "");
  try {
    const KeyStore store(folder);
    store.verify();
    const int64_t count = std::min<int64_t>(store.size(), 16);
    std::vector<float> keys(static_cast<size_t>(count * store.width()));
    store.read_keys(store.size() - count, count, keys);
    if (count > 0) (void)(store.next(store.size() - 1) + store.position(store.size() - 1));
  } catch (const CheckpointError&) {
  }
  const NeighbourMap map(folder);
  map.require("train", "t");
  require(map.prefix_of("train", 1000) >= 0, "a prefix before the text");
}

static std::vector<std::string> seeds() {
  const std::string store =
      R"({"checkpoint": "c", "model": "m", "vocabulary": "v", "data": "d", "path": "p", "split": "train", "text": "t",
"documents": "joined", "num_documents": 1, "context": 8, "stride": 8, "key": "hidden", "dtype": "f16", "width": 2,
"count": 3, "files": {}})";
  const std::string map = R"({"checkpoint": "c", "model": "m", "key": "hidden", "chunk": 4, "length": 8, "window": 8,
"training_tokens": 100, "splits": {"train": {"text": "t", "chunks": 0, "hash": "ef46db3751d8e999"}}})";
  return {joined({store, std::string(12, 'k'), std::string(12, 'n'), std::string(24, 'p'), map}),
          joined({"{}", "", "", "", "{}"})};
}

static const FuzzTarget target("datastore", read_input, seeds);

}  // namespace moe
