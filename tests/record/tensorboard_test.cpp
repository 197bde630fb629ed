#include "core/record/tensorboard.h"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/metric_keys.h"
#include "core/checkpoint/files.h"
#include "core/record/run_records.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
namespace fs = std::filesystem;

namespace {

// An event as it was read from a file.
struct Event {
  int64_t step = 0;
  bool session_start = false;
  std::string version;
  std::map<std::string, float> scalars;
};

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// Reads one field of a protocol buffer from the front of `bytes`: its number, and its integer or bytes.
struct Field {
  uint32_t number = 0;
  uint64_t integer = 0;
  std::string_view bytes{};
};
uint64_t take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(0));
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
}
Field take_field(std::string_view& bytes) {
  const uint64_t key = take_varint(bytes);
  Field field{.number = static_cast<uint32_t>(key >> 3)};
  const uint64_t type = key & 7;
  if (type == 0) {
    field.integer = take_varint(bytes);
    return field;
  }
  const size_t size = type == 2 ? take_varint(bytes) : type == 1 ? 8 : 4;
  field.bytes = bytes.substr(0, size);
  field.integer = type == 2 ? 0 : little_endian(field.bytes);
  bytes.remove_prefix(size);
  return field;
}

Event parse_event(std::string_view bytes) {
  Event event;
  while (!bytes.empty()) {
    Field field = take_field(bytes);
    if (field.number == 2) event.step = static_cast<int64_t>(field.integer);
    if (field.number == 3) event.version = field.bytes;
    if (field.number == 7) event.session_start = take_field(field.bytes).integer == 1;
    while (field.number == 5 && !field.bytes.empty()) {
      std::string_view value = take_field(field.bytes).bytes;
      const Field tag = take_field(value), number = take_field(value);
      event.scalars[std::string(tag.bytes)] = std::bit_cast<float>(static_cast<uint32_t>(number.integer));
    }
  }
  return event;
}

std::vector<Event> events_in(const std::string& path) {
  const std::string content = read_text(path);
  std::string_view bytes = content;
  std::vector<Event> events;
  while (!bytes.empty()) {
    const std::string_view length = bytes.substr(0, 8);
    if (little_endian(bytes.substr(8, 4)) != masked_crc32c(length)) throw std::runtime_error("the length's check");
    const auto size = static_cast<size_t>(little_endian(length));
    const std::string_view data = bytes.substr(12, size);
    if (little_endian(bytes.substr(12 + size, 4)) != masked_crc32c(data)) throw std::runtime_error("the data's check");
    events.push_back(parse_event(data));
    bytes.remove_prefix(16 + size);
  }
  return events;
}

// Event files of a folder, by name.
std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) names.push_back(entry.path());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("the check of Castagnoli, of printed values") {
  CHECK(crc32c("123456789") == 0xe3069283);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);  // RFC 3720, B.4
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
  CHECK(masked_crc32c("") == 0xa282ead8);
}

TEST_CASE("an event file has the scalars of records") {
  TemporaryFolder folder;
  EventFile file(folder.path(), 0);
  file.write("train", 10,
             {{"loss", 2.5}, {"balance", {{"switch", 1.25}}}, {"lr", 1e-3}, {"load", {{0.5, 0.5}}}, {"text", "x"}});
  file.write("checkpoint", 10, {{"seconds", 1}});
  file.write("eval", 10, {{"loss", 2}, {"bpc", 3.0}});
  const std::vector<Event> events = events_in(file.path());
  REQUIRE(events.size() == 4);
  CHECK(events[0].version == "brain.Event:2");
  CHECK(events[1].session_start);
  CHECK(events[2].step == 10);
  CHECK(events[2].scalars ==
        std::map<std::string, float>{{"train/loss", 2.5f}, {"train/learning_rate", 1e-3f}, {"balance/switch", 1.25f}});
  CHECK(events[3].scalars == std::map<std::string, float>{{"validation/loss", 2}, {"validation/bpc", 3}});
}

TEST_CASE("an event file has a bounded number of scalars") {
  TemporaryFolder folder;
  EventFile file(folder.path(), 0);
  Json measures;
  for (int i = 0; i < 1000; ++i) measures["m" + std::to_string(i)] = i;
  file.write("train", 1, {{"measures", measures}});
  CHECK(events_in(file.path()).at(2).scalars.size() == kMostScalarsOfGroup);
}

TEST_CASE("a run that goes on starts a session, and no record is drawn twice") {
  TemporaryFolder folder;
  {
    RunRecords records(folder.path(), std::nullopt, true);
    records.write("eval", 0, {{"loss", 5}});
    records.write("train", 1, {{"loss", 4}});
    records.write("eval", 1, {{"loss", 4}});
    records.write("train", 2, {{"loss", 3}});
  }
  // The checkpoint is that of step 1, whose evaluation has to be made again.
  RunRecords records(folder.path(), ResumedRecords{.step = 1, .step_finished = false}, true);
  records.write("eval", 1, {{"loss", 4}});
  records.write("train", 2, {{"loss", 3}});
  const std::vector<std::string> files = files_in(folder.path());
  REQUIRE(files.size() == 2);
  std::map<std::pair<std::string, int64_t>, int> drawn;
  // As TensorBoard reads them: a session start takes back what earlier events have from its step on.
  for (const std::string& file : files) {
    for (const Event& event : events_in(file)) {
      if (event.session_start) std::erase_if(drawn, [&](const auto& d) { return d.first.second >= event.step; });
      for (const auto& [tag, value] : event.scalars) ++drawn[{tag, event.step}];
    }
  }
  CHECK(drawn ==
        std::map<std::pair<std::string, int64_t>, int>{
            {{"validation/loss", 0}, 1}, {{"train/loss", 1}, 1}, {{"validation/loss", 1}, 1}, {{"train/loss", 2}, 1}});
}

TEST_CASE("event files that are asked for later have all earlier records") {
  TemporaryFolder folder;
  { RunRecords(folder.path(), std::nullopt, false).write("train", 1, {{"loss", 4}}); }
  CHECK(files_in(folder.path()).empty());
  RunRecords(folder.path(), ResumedRecords{.step = 1}, true).write("train", 2, {{"loss", 3}});
  const std::vector<std::string> files = files_in(folder.path());
  REQUIRE(files.size() == 1);
  const std::vector<Event> events = events_in(files[0]);
  REQUIRE(events.size() == 4);
  CHECK(events[2].step == 1);
  CHECK(events[3].step == 2);
}

TEST_CASE("a folder in which no event file can be made is an error") {
  TemporaryFolder folder;
  CHECK_THROWS_AS(EventFile(folder / "absent", 0), CheckpointError);
}
