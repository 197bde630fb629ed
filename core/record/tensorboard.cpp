#include "core/record/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "core/base/check.h"
#include "core/base/host.h"
#include "core/base/metric_keys.h"

namespace moe {
namespace {

// The encoding of protocol buffers (protobuf.dev, "Encoding"), of which events need four types.
enum WireType : uint32_t { varint_type = 0, double_type = 1, bytes_type = 2, float_type = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

template <class T>
void put_little_endian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i));
}

void put_key(std::string& out, uint32_t field, WireType type) {
  put_varint(out, field << 3 | type);
}

std::string integer_field(uint32_t field, int64_t value) {
  std::string out;
  put_key(out, field, varint_type);
  put_varint(out, static_cast<uint64_t>(value));
  return out;
}

std::string bytes_field(uint32_t field, std::string_view bytes) {
  std::string out;
  put_key(out, field, bytes_type);
  put_varint(out, bytes.size());
  return out.append(bytes);
}

std::string float_field(uint32_t field, float value) {
  std::string out;
  put_key(out, field, float_type);
  put_little_endian(out, std::bit_cast<uint32_t>(value));
  return out;
}

// Field numbers of tensorboard/compat/proto/event.proto and summary.proto.
std::string event(int64_t step, const std::string& what) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  std::string out;
  put_key(out, 1, double_type);
  put_little_endian(out, std::bit_cast<uint64_t>(now.count()));
  return out + integer_field(2, step) + what;
}
std::string file_version() {
  return bytes_field(3, "brain.Event:2");
}
std::string session_start() {
  return bytes_field(7, integer_field(1, 1));
}
std::string scalar(const std::string& tag, double value) {
  return bytes_field(1, bytes_field(1, tag) + float_field(2, static_cast<float>(value)));
}

// The scalars of records: keys, and groups of keys that are all shown.
struct Scalar {
  const char *type, *key, *tag;
};
using namespace metric_keys;
constexpr Scalar kScalars[] = {
    {kTrain, kLoss, "train/loss"},
    {kTrain, "bpc", "train/bpc"},
    {kTrain, "accuracy", "train/accuracy"},
    {kTrain, kAuxiliary, "train/aux"},
    {kTrain, kNorm, "train/gradient_norm"},
    {kTrain, kLearningRate, "train/learning_rate"},
    {kTrain, kMilliseconds, "time/ms_per_step"},
    {kTrain, kTokensPerSecond, "time/tokens_per_second"},
    {kTrain, kTokens, "time/tokens"},
    {kTrain, kLoadMaxOverMean, "experts/load_max_over_mean"},
    {kTrain, kDead, "experts/dead"},
    {kTrain, kDropped, "experts/dropped"},
    {kTrain, kRouterEntropy, "experts/router_entropy"},
    {kEvaluation, kLoss, "validation/loss"},
    {kEvaluation, "bpc", "validation/bpc"},
    {kEvaluation, "ppl", "validation/perplexity"},
    {kEvaluation, "accuracy", "validation/accuracy"},
    {kEvaluation, "error", "validation/error"},
    {kCommunication, kLost, "time/lost_to_communication"},
};
constexpr Scalar kGroups[] = {
    {kTrain, kBalance, "balance/"}, {kTrain, kMeasures, "measures/"}, {kTrain, kScheduled, "scheduled/"}};

std::string scalars_of(const std::string& type, const Json& record) {
  std::string summary;
  for (const Scalar& s : kScalars) {
    if (type != s.type) continue;
    const Json* value = record.find(s.key);
    if (value && value->is_number()) summary += scalar(s.tag, value->get<double>());
  }
  for (const Scalar& group : kGroups) {
    const Json* values = type == group.type ? record.find(group.key) : nullptr;
    if (!values || !values->is_object()) continue;
    int count = 0;
    for (const auto& [key, value] : values->items()) {
      if (value.is_number() && count++ < kMostScalarsOfGroup)
        summary += scalar(group.tag + key, value.template get<double>());
    }
  }
  return summary;
}

// A name that sorts behind those of earlier files, as TensorBoard reads them in the order of their names.
std::string file_name(int attempt) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return fmt::format("events.out.tfevents.{:010}.{}.{}.{}",
                     std::chrono::duration_cast<std::chrono::seconds>(now).count(), host_name(), ::getpid(), attempt);
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t entry = i;
      for (int bit = 0; bit < 8; ++bit) entry = entry >> 1 ^ (entry & 1 ? 0x82f63b78u : 0u);
      entries[i] = entry;
    }
    return entries;
  }();
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

EventFile::EventFile(const std::string& folder, int64_t first_step) {
  int descriptor = -1;
  for (int attempt = 0; descriptor < 0 && attempt < 100; ++attempt) {
    path_ = folder + "/" + file_name(attempt);
    descriptor = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0 && errno != EEXIST) break;
  }
  file_ = descriptor < 0 ? nullptr : ::fdopen(descriptor, "a");
  if (!file_) raise<CheckpointError>("cannot write {}: {}", path_, std::strerror(errno));
  append(event(0, file_version()));
  append(event(first_step, session_start()));
}

EventFile::~EventFile() {
  if (file_) std::fclose(file_);
}

void EventFile::write(const std::string& type, int64_t step, const Json& record) {
  const std::string summary = scalars_of(type, record);
  if (!summary.empty()) append(event(step, bytes_field(5, summary)));
}

// A TFRecord: the length and its check, the bytes and their check.
void EventFile::append(const std::string& event) {
  std::string length;
  put_little_endian(length, static_cast<uint64_t>(event.size()));
  std::string record = length;
  put_little_endian(record, masked_crc32c(length));
  record += event;
  put_little_endian(record, masked_crc32c(event));
  if (std::fwrite(record.data(), 1, record.size(), file_) != record.size() || std::fflush(file_) != 0)
    raise<CheckpointError>("cannot write {}: {}", path_, std::strerror(errno));
}

}  // namespace moe
