// Event files of TensorBoard: scalars of the records of metrics.jsonl.
#pragma once
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/json.h"

namespace moe {

// The cyclic redundancy check of Castagnoli (RFC 3720, appendix B.4), and as a TFRecord stores it: rotated right by 15
// bits, plus 0xa282ead8.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

// A file events.out.tfevents.* in a run's folder. Every process that trains the run starts a new one, with a session
// start at the step that it goes on from: TensorBoard then leaves out what earlier files have from that step on.
class EventFile {
 public:
  // `first_step`: the step from which on earlier files do not count. Throws CheckpointError.
  EventFile(const std::string& folder, int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;

  // Writes the scalars of a record that TensorBoard shows (docs/watching.md lists them); other records have none.
  // Throws CheckpointError.
  void write(const std::string& type, int64_t step, const Json& record);

  const std::string& path() const { return path_; }

 private:
  void append(const std::string& event);

  std::string path_;
  std::FILE* file_ = nullptr;
};

// At most this many scalars of one group that depends on the configuration (balance losses, measures, schedules).
constexpr int kMostScalarsOfGroup = 32;

}  // namespace moe
