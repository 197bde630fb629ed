#include "core/retrieval/key_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/new_folder.h"
#include "core/checkpoint/tensor_file.h"
#include "data/content_hash.h"

namespace moe {

namespace fs = std::filesystem;

static constexpr const char* kHeader = "store.json";
static constexpr const char* kKeys = "keys.bin";
static constexpr const char* kNext = "next.bin";
static constexpr const char* kPositions = "positions.bin";
static constexpr const char* kFormat = "moe-train datastore 1";

std::string model_hash(const std::string& checkpoint) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(checkpoint, error)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".safetensors" && !name.starts_with("optimizer")) files.push_back(name);
  }
  if (error) raise<CheckpointError>("cannot list {}: {}", checkpoint, error.message());
  std::sort(files.begin(), files.end());
  std::string hashes;
  for (const std::string& name : files) hashes += header_hash((fs::path(checkpoint) / name).string()) + "\n";
  return hash_of_text(hashes);
}

MappedFile::MappedFile(const std::string& path, int64_t bytes) : path_(path), bytes_(bytes) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) raise<CheckpointError>("cannot open {}: {}", path, std::strerror(errno));
  struct stat status = {};
  if (::fstat(file, &status) != 0 || status.st_size != bytes) {
    ::close(file);
    raise<CheckpointError>("{} is damaged: expected {} bytes, found {}; build the store again", path, bytes,
                           static_cast<int64_t>(status.st_size));
  }
  if (bytes > 0) data_ = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ, MAP_SHARED, file, 0);
  const int reason = errno;
  ::close(file);
  if (data_ == MAP_FAILED) {
    data_ = nullptr;
    raise<CheckpointError>("cannot map {}: {}", path, std::strerror(reason));
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, static_cast<size_t>(bytes_));
}

std::string hashed_json(Json json, const std::string& format) {
  Json result = {{"format", format}};
  result.update(json);
  result["hash"] = hash_of_text(json_text(result));
  return json_text(result, 2) + "\n";
}

Json read_hashed_json(const std::string& path, const std::string& format) {
  Json json = parse_json_or_null(read_text(path));
  const Json* found = json.find("format");
  if (!found || !found->is_string()) raise<CheckpointError>("{} is damaged; build it again", path);
  if (found->get<std::string>() != format)
    raise<CheckpointError>("{} is '{}'; expected '{}'", path, found->get<std::string>(), format);
  const Json* hash = json.find("hash");
  const std::string given = hash && hash->is_string() ? hash->get<std::string>() : "";
  json.erase("hash");
  if (hash_of_text(json_text(json)) != given)
    raise<CheckpointError>("{} is damaged: its hash is not that of its content; build it again", path);
  json["hash"] = given;
  return json;
}

static Json to_json(const StoreFacts& f) {
  return {{"checkpoint", f.checkpoint},
          {"model", f.model},
          {"vocabulary", f.vocabulary},
          {"data", f.data},
          {"path", f.path},
          {"split", f.split},
          {"text", f.text},
          {"documents", f.documents},
          {"num_documents", f.num_documents},
          {"context", f.context},
          {"stride", f.stride},
          {"key", name_of(f.key)},
          {"dtype", name_of(f.format)},
          {"width", f.width},
          {"count", f.count}};
}

// Sizes whose products fit into 64 bits.
constexpr int64_t kMostWidth = int64_t{1} << 20, kMostEntries = int64_t{1} << 40;

static StoreFacts read_facts(const Json& json) {
  StoreFacts f;
  f.checkpoint = json.at("checkpoint"), f.model = json.at("model"), f.vocabulary = json.at("vocabulary");
  f.data = json.at("data"), f.path = json.at("path"), f.split = json.at("split"), f.text = json.at("text");
  f.documents = json.at("documents"), f.num_documents = json.at("num_documents");
  f.context = json.at("context"), f.stride = json.at("stride");
  f.key = key_kind(json.at("key")), f.format = number_format(json.at("dtype"));
  f.width = json.at("width"), f.count = json.at("count");
  if (f.width < 0 || f.width > kMostWidth || f.count < 0 || f.count > kMostEntries || (f.count > 0 && f.width == 0))
    throw JsonError(fmt::format("{} entries of {} numbers", f.count, f.width));
  for (const char* file : {kKeys, kNext, kPositions}) json.at("files").at(file).get<std::string>();
  return f;
}

static StoreFacts facts_of(const std::string& folder, const Json& json) try {
  return read_facts(json);
} catch (const JsonError& error) {
  raise<CheckpointError>("{}/{} is damaged: {}; build the store again", folder, kHeader, error.what());
} catch (const UsageError& error) {  // a kind of keys or numbers that does not exist
  raise<CheckpointError>("{}/{} is damaged: {}; build the store again", folder, kHeader, error.what());
}

namespace {

// A file of the store as it grows.
struct GrowingFile {
  const FileSink& sink;
  ContentHash hash{};
  void append(const void* data, size_t bytes) {
    hash.update(data, static_cast<int64_t>(bytes));
    sink(data, bytes);
  }
};

// Entries on their way to the three files.
class EntryWriter {
 public:
  EntryWriter(StoreFacts& facts, const FileSink& keys, const FileSink& next, const FileSink& positions)
      : facts_(facts), keys_{keys}, next_{next}, positions_{positions} {}

  void add(const KeyedTokens& tokens) {
    if (tokens.size() == 0) return;
    facts_.width = tokens.width;
    facts_.count += tokens.size();
    const auto beyond = [](float x) { return !(std::abs(x) <= kLargestHalf); };
    if (facts_.format == NumberFormat::f16 && std::any_of(tokens.keys.begin(), tokens.keys.end(), beyond))
      throw CheckpointError("a key holds a number that f16 cannot hold; choose --dtype bf16 or f32");
    bytes_.resize(tokens.keys.size() * as_index(bytes_of(facts_.format)));
    encode_numbers(tokens.keys, facts_.format, bytes_.data());
    keys_.append(bytes_.data(), bytes_.size());
    next_.append(tokens.next.data(), tokens.next.size() * sizeof(int32_t));
    positions_.append(tokens.positions.data(), tokens.positions.size() * sizeof(int64_t));
  }
  Json hashes() const {
    return {{kKeys, format_hash(keys_.hash.value())},
            {kNext, format_hash(next_.hash.value())},
            {kPositions, format_hash(positions_.hash.value())}};
  }

 private:
  StoreFacts& facts_;
  GrowingFile keys_, next_, positions_;
  std::vector<char> bytes_;
};

}  // namespace

void write_store(const std::string& folder, StoreFacts facts, const std::function<void(const StoreSink& add)>& fill) {
  NewFolder made(folder);
  const auto path = [&](const char* name) { return made.path() + "/" + name; };
  Json hashes;
  facts.width = facts.count = 0;
  write_synced(path(kKeys), [&](const FileSink& keys) {
    write_synced(path(kNext), [&](const FileSink& next) {
      write_synced(path(kPositions), [&](const FileSink& positions) {
        EntryWriter writer(facts, keys, next, positions);
        fill([&](const KeyedTokens& tokens) { writer.add(tokens); });
        hashes = writer.hashes();
      });
    });
  });
  Json header = to_json(facts);
  header["files"] = hashes;
  write_text_synced(path(kHeader), hashed_json(std::move(header), kFormat));
  made.finish();
}

KeyStore::KeyStore(const std::string& folder)
    : KeyStore(folder, read_hashed_json((fs::path(folder) / kHeader).string(), kFormat)) {}

static void require_hash(const MappedFile& file, const std::string& expected) {
  constexpr int64_t kPiece = int64_t{1} << 26;
  ContentHash hash;
  for (int64_t begin = 0; begin < file.bytes(); begin += kPiece)
    hash.update(file.data() + begin, std::min(kPiece, file.bytes() - begin));
  if (format_hash(hash.value()) == expected) return;
  raise<CheckpointError>("{} is damaged: its content is not what was written; build the store again", file.path());
}

KeyStore::KeyStore(const std::string& folder, const Json& header)
    : folder_(folder),
      hash_(header.at("hash")),
      facts_(facts_of(folder, header)),
      keys_hash_(header.at("files").at(kKeys)),
      key_file_((fs::path(folder) / kKeys).string(), facts_.count * facts_.width * bytes_of(facts_.format)),
      next_file_((fs::path(folder) / kNext).string(), facts_.count * static_cast<int64_t>(sizeof(int32_t))),
      position_file_((fs::path(folder) / kPositions).string(), facts_.count * static_cast<int64_t>(sizeof(int64_t))),
      next_(reinterpret_cast<const int32_t*>(next_file_.data())),
      positions_(reinterpret_cast<const int64_t*>(position_file_.data())) {
  require_hash(next_file_, header.at("files").at(kNext));
  require_hash(position_file_, header.at("files").at(kPositions));
}

void KeyStore::read_keys(int64_t begin, int64_t count, std::span<float> out) const {
  MOE_CHECK(begin >= 0 && begin + count <= size() && std::ssize(out) >= count * width(), "keys [{}, {}) of {}", begin,
            begin + count, size());
  const int64_t bytes = width() * bytes_of(facts_.format);
  decode_numbers(key_file_.data() + begin * bytes, facts_.format, out.first(as_index(count * width())));
}

void KeyStore::verify() const {
  require_hash(key_file_, keys_hash_);
}

void KeyStore::require(const std::string& model, const std::string& vocabulary) const {
  if (facts_.vocabulary != vocabulary) {
    raise<CheckpointError>("{} is of a model with another tokenizer (its hash is {}, the model's {}); build a store",
                           folder_, facts_.vocabulary, vocabulary);
  }
  if (facts_.model != model) {
    raise<CheckpointError>(
        "{} has keys of another model ({}; its hash is {}, this model's {}); build a store with this model", folder_,
        facts_.checkpoint, facts_.model, model);
  }
}

}  // namespace moe
