#include "core/checkpoint/tensor_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "core/base/json_text.h"
#include "core/checkpoint/damage.h"
#include "core/checkpoint/files.h"
#include "core/tensor/device.h"
#include "data/content_hash.h"

namespace moe {

struct DTypeName {
  const char* name;
  DType dtype;
};
static constexpr DTypeName kDTypes[] = {
    {"F32", DType::f32}, {"F64", DType::f64}, {"BF16", DType::bf16}, {"I32", DType::i32}};

static const char* name_in_file(DType dtype) {
  for (const DTypeName& entry : kDTypes) {
    if (entry.dtype == dtype) return entry.name;
  }
  return "?";
}

static constexpr const char* kHashes = "xxh64";

static size_t bytes_in_file(const Tensor& x) {
  return static_cast<size_t>(x.size()) * size_of(wide(x.dtype));
}

static uint64_t content_hash(const void* data, size_t bytes) {
  ContentHash hash;
  hash.update(data, static_cast<int64_t>(bytes));
  return hash.value();
}

// A tensor's elements on the host in the file's dtype: the tensor's own memory, or a copy in one of the buffers.
static const void* file_content(ConstTensor x, std::vector<char>& copy, std::vector<float>& widened) {
  const void* content = x.data;
  if (x.device == Device::cuda) {
    copy.resize(x.bytes());
    if (!copy.empty()) cuda::copy_now(copy.data(), x.data, x.bytes(), cuda::Direction::to_host);
    content = copy.data();
  }
  if (x.dtype != DType::bf16) return content;
  widened.resize(static_cast<size_t>(x.size()));
  const auto* from = static_cast<const BFloat16*>(content);
  std::transform(from, from + x.size(), widened.begin(), to_float);
  return widened.data();
}

// The file's header. It is of the same length for any `hashes`, one for each tensor.
static std::string header_of(const std::vector<NamedTensor>& tensors, const std::vector<uint64_t>& hashes) {
  Json hash_of = Json::object();
  for (size_t i = 0; i < tensors.size(); ++i) hash_of[tensors[i].name] = format_hash(hashes[i]);
  Json header;
  // "format" is required by readers of Hugging Face models; values must be strings.
  header["__metadata__"] = {{"format", "pt"}, {kHashes, json_text(hash_of)}};
  size_t offset = 0;
  for (const NamedTensor& t : tensors) {
    std::vector<int64_t> shape;
    for (int i = 0; i < t.tensor.shape.rank(); ++i) shape.push_back(t.tensor.dim(i));
    const size_t bytes = bytes_in_file(t.tensor);
    header[t.name] = {
        {"dtype", name_in_file(wide(t.tensor.dtype))}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = json_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

// Whether the file gets the tensor's own memory.
static bool is_written_as_it_is(const Tensor& x) {
  return x.device == Device::cpu && x.dtype == wide(x.dtype);
}

// The hashes of the tensors whose memory is written as it is, by all threads: one thread hashes 5 GB/s, which would
// show beside a fast disk. The others are hashed when they are converted.
static std::vector<uint64_t> hashes_in_memory(const std::vector<NamedTensor>& tensors) {
  std::vector<uint64_t> hashes(tensors.size());
#pragma omp parallel for schedule(dynamic)
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& x = tensors[i].tensor;
    if (is_written_as_it_is(x)) hashes[i] = content_hash(x.data, bytes_in_file(x));
  }
  return hashes;
}

// Writes a file of the tensors' headers, and the contents by `write`, which sets the hashes. All hashes are known only
// after the data was written, so that a tensor on a device is copied to the host once. They are then put into the
// header.
static void write_with_hashes(const std::string& path, const std::vector<NamedTensor>& tensors,
                              std::vector<uint64_t>& hashes, const std::function<void(const FileSink&)>& write) {
  const std::string blank = header_of(tensors, hashes);
  write_synced(
      path,
      [&](const FileSink& sink) {
        const uint64_t length = blank.size();
        sink(&length, sizeof length);
        sink(blank.data(), blank.size());
        write(sink);
      },
      [&](const FilePatch& patch) {
        const std::string header = header_of(tensors, hashes);
        MOE_CHECK(header.size() == blank.size(), "a header of {} bytes in place of {}", header.size(), blank.size());
        patch(header.data(), header.size(), sizeof(uint64_t));
      });
}

void write_tensor_file(const std::string& path, const std::vector<NamedTensor>& tensors) {
  std::vector<uint64_t> hashes = hashes_in_memory(tensors);
  write_with_hashes(path, tensors, hashes, [&](const FileSink& sink) {
    std::vector<char> copy;
    std::vector<float> widened;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const void* content = file_content(tensors[i].tensor, copy, widened);
      if (!is_written_as_it_is(tensors[i].tensor)) hashes[i] = content_hash(content, bytes_in_file(tensors[i].tensor));
      sink(content, bytes_in_file(tensors[i].tensor));
    }
  });
}

void write_tensor_file(const std::string& path, const std::vector<StreamedTensor>& tensors) {
  std::vector<NamedTensor> described;  // without contents
  for (const StreamedTensor& t : tensors) described.push_back({.name = t.name, .tensor = {.shape = t.shape}});
  std::vector<uint64_t> hashes(tensors.size());
  write_with_hashes(path, described, hashes, [&](const FileSink& sink) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      const std::vector<float> values = tensors[i].values();
      MOE_CHECK(static_cast<int64_t>(values.size()) == tensors[i].shape.size(), "{} values for {} {}", values.size(),
                tensors[i].name, tensors[i].shape.to_string());
      hashes[i] = content_hash(values.data(), values.size() * sizeof(float));
      sink(values.data(), values.size() * sizeof(float));
    }
  });
}

static DType dtype_of(const std::string& tensor, const std::string& name) {
  for (const DTypeName& entry : kDTypes) {
    if (name == entry.name) return entry.dtype;
  }
  throw std::runtime_error(tensor + " has the unknown dtype " + name);
}

static Shape shape_of(const std::string& tensor, const std::vector<int64_t>& dims) {
  int64_t elements = 1;
  for (const int64_t dim : dims) {
    if (dim < 0) throw std::runtime_error(tensor + " has a negative dimension");
    if (__builtin_mul_overflow(elements, dim, &elements) || elements > (int64_t{1} << 56))
      throw std::runtime_error(tensor + " is absurdly large");
  }
  return dims.empty()       ? Shape{1}
         : dims.size() == 1 ? Shape{dims[0]}
         : dims.size() == 2 ? Shape{dims[0], dims[1]}
         : dims.size() == 3 ? Shape{dims[0], dims[1], dims[2]}
                            : Shape{dims[0], dims[1], dims[2], dims[3]};
}

// The bytes of a file that follow its header.
struct FileContent {
  const char* begin;
  size_t bytes;
};
// A tensor's place in them.
using ByteRange = std::pair<size_t, size_t>;

// The tensor that an entry of the header describes. Throws any exception for a damaged one.
static ConstTensor read_entry(const std::string& name, const Json& entry, const FileContent& content,
                              std::vector<ByteRange>& ranges) {
  ConstTensor tensor;
  const auto dtype = entry.at("dtype").get<std::string>();
  const auto dims = entry.at("shape").get<std::vector<int64_t>>();
  const auto offsets = entry.at("data_offsets").get<std::vector<size_t>>();
  tensor.dtype = dtype_of(name, dtype);
  if (dims.size() > 4 || offsets.size() != 2) throw std::runtime_error(name + " has an unusable shape");
  tensor.shape = shape_of(name, dims);
  if (offsets[1] > content.bytes || offsets[0] > offsets[1] || offsets[1] - offsets[0] != tensor.bytes()) {
    throw std::runtime_error(
        fmt::format("{} lies at [{}, {}) of {} bytes", name, offsets[0], offsets[1], content.bytes));
  }
  tensor.data = content.begin + offsets[0];
  ranges.emplace_back(offsets[0], offsets[1]);
  return tensor;
}

// The format allows no overlaps, no gaps and no trailing bytes.
static void check_coverage(std::vector<ByteRange> ranges, size_t content_bytes) {
  std::sort(ranges.begin(), ranges.end());
  size_t covered = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != covered) throw std::runtime_error(fmt::format("the tensors overlap or leave a hole at {}", covered));
    covered = end;
  }
  if (covered != content_bytes)
    throw std::runtime_error(fmt::format("the tensors end at {} of {} bytes", covered, content_bytes));
}

[[noreturn]] static void refuse_file(const std::string& path, int error) {
  if (error == ENOENT) raise<DamagedCheckpoint>("{} is missing", path);
  raise<CheckpointError>("cannot open {}: {}", path, std::strerror(error));
}

// Throws DamagedCheckpoint for a length of the header, in the file's first bytes, that the file does not have.
static void check_header_length(const std::string& path, uint64_t length, size_t file_bytes) {
  if (file_bytes < sizeof length)
    raise<DamagedCheckpoint>("{} is damaged: {} bytes are too few for a header", path, file_bytes);
  if (length > file_bytes - sizeof length)
    raise<DamagedCheckpoint>("{} is damaged: the header claims {} bytes, the file has {}", path, length, file_bytes);
}

// The hashes in the header's metadata.
static std::map<std::string, std::string> read_hashes(const Json& header) {
  std::map<std::string, std::string> hashes;
  const Json* metadata = header.find("__metadata__");
  const Json* text = metadata && metadata->is_object() ? metadata->find(kHashes) : nullptr;
  if (!text) return hashes;
  const Json parsed = parse_json(text->get<std::string>());
  for (const auto& [name, hash] : parsed.items()) hashes.emplace(name, hash.get<std::string>());
  return hashes;
}

TensorFile::TensorFile(const std::string& path) : path_(path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) refuse_file(path, errno);
  struct stat info {};
  const bool known = ::fstat(file, &info) == 0;
  bytes_ = known ? static_cast<size_t>(info.st_size) : 0;
  data_ = bytes_ > 0 ? ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
  const int error = errno;
  ::close(file);
  if (data_ == MAP_FAILED) {
    data_ = nullptr;
    raise<CheckpointError>("cannot map {}: {}", path, std::strerror(error));
  }
  try {
    read_header();
  } catch (...) {
    if (data_) ::munmap(data_, bytes_);
    throw;
  }
}

void TensorFile::read_header() {
  uint64_t length = 0;
  if (bytes_ >= sizeof length) std::memcpy(&length, data_, sizeof length);
  check_header_length(path_, length, bytes_);
  const char* header = static_cast<const char*>(data_) + sizeof length;
  const FileContent content{header + length, bytes_ - sizeof length - length};
  try {
    std::vector<ByteRange> ranges;
    const auto parsed = parse_json({header, length});
    for (const auto& [name, entry] : parsed.items()) {
      if (name != "__metadata__") tensors_.emplace(name, read_entry(name, entry, content, ranges));
    }
    check_coverage(std::move(ranges), content.bytes);
    hashes_ = read_hashes(parsed);
    for (const auto& [name, tensor] : tensors_) {
      if (has_hashes() && !hashes_.count(name)) throw std::runtime_error("there is no hash of " + name);
    }
  } catch (const std::exception& error) {
    raise<DamagedCheckpoint>("{} is damaged: {}", path_, error.what());
  }
}

void TensorFile::verify(const std::string& tensor) const {
  if (!has_hashes()) return;
  const ConstTensor content = tensors_.at(tensor);
  const std::string written = hashes_.at(tensor), found = format_hash(content_hash(content.data, content.bytes()));
  if (found == written) return;
  raise<DamagedCheckpoint>("{} is damaged: the content of {} has the hash {}, expected {}", path_, tensor, found,
                           written);
}

std::string header_hash(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse_file(path, errno);
  uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), sizeof length);
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  check_header_length(path, length, error ? 0 : bytes);
  std::vector<char> header(sizeof length + length);
  std::memcpy(header.data(), &length, sizeof length);
  file.read(header.data() + sizeof length, static_cast<std::streamsize>(length));
  if (!file) raise<CheckpointError>("cannot read {}", path);
  return format_hash(content_hash(header.data(), header.size()));
}

TensorFile::TensorFile(TensorFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(other.bytes_),
      tensors_(std::move(other.tensors_)),
      hashes_(std::move(other.hashes_)) {}

TensorFile::~TensorFile() {
  if (data_) ::munmap(data_, bytes_);
}

TensorFolder::TensorFolder(const std::string& folder, const std::string& prefix) : folder_(folder) {
  std::error_code error;
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) == 0 && entry.path().extension() == ".safetensors")
      paths.push_back(entry.path().string());
  }
  if (error) raise<CheckpointError>("cannot read the folder {}: {}", folder, error.message());
  if (paths.empty()) raise<DamagedCheckpoint>("{} holds no {}*.safetensors", folder, prefix);
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    files_.emplace_back(path);
    for (const auto& [name, tensor] : files_.back().tensors()) {
      if (!tensors_.emplace(name, tensor).second) raise<DamagedCheckpoint>("{}: {} occurs in two files", folder, name);
      file_of_.emplace(name, files_.size() - 1);
    }
  }
}

ConstTensor TensorFolder::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) raise<DamagedCheckpoint>("{} holds no tensor {}", folder_, name);
  if (!verified_.count(name)) {
    files_[file_of_.at(name)].verify(name);
    verified_.insert(name);
  }
  return found->second;
}

void TensorFolder::read(const std::string& name, Tensor into) const {
  const ConstTensor from = at(name);
  if (from.shape != into.shape || from.dtype != wide(into.dtype)) {
    raise<DamagedCheckpoint>("{}: {} is {} {}; the model expects {} {}", folder_, name, name_of(from.dtype),
                             from.shape.to_string(), name_of(wide(into.dtype)), into.shape.to_string());
  }
  write_tensor(into, from);
}

void write_tensor(Tensor into, ConstTensor from) {
  MOE_CHECK(from.size() == into.size() && from.dtype == wide(into.dtype), "{} {} into {} {}", name_of(from.dtype),
            from.shape.to_string(), name_of(into.dtype), into.shape.to_string());
  if (into.bytes() == 0) return;
  const void* content = from.data;
  std::vector<BFloat16> rounded;
  if (into.dtype == DType::bf16) {
    rounded.resize(static_cast<size_t>(into.size()));
    std::transform(from.as<float>(), from.as<float>() + from.size(), rounded.begin(), to_bfloat16);
    content = rounded.data();
  }
  if (into.device == Device::cuda)
    cuda::copy_now(into.data, content, into.bytes(), cuda::Direction::to_device);
  else
    std::memcpy(into.data, content, into.bytes());
}

}  // namespace moe
