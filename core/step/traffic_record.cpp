#include "core/step/traffic_record.h"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "core/base/integer.h"
#include "core/base/metric_keys.h"
#include "core/base/units.h"

namespace moe {

// Nanoseconds are enough; shorter numbers make shorter records.
static double rounded(double seconds) {
  return std::round(seconds * 1e9) / 1e9;
}

static void add_counts(Json& json, const TrafficCounts& counts) {
  json[metric_keys::kBytesInside] = counts.bytes_inside;
  json[metric_keys::kBytesBetween] = counts.bytes_between;
  json[metric_keys::kMessagesInside] = counts.messages_inside;
  json[metric_keys::kMessagesBetween] = counts.messages_between;
}

static Json to_json(const TrafficRow& row) {
  Json json = {{metric_keys::kKind, name_of(row.label.kind)}, {metric_keys::kLayer, row.label.layer}};
  add_counts(json, row.counts);
  if (!row.is_timed) return json;
  const auto seconds = [&](const char* mean, const char* largest, const RankSpread& spread) {
    json[mean] = rounded(spread.mean);
    json[largest] = rounded(spread.largest);
  };
  seconds(metric_keys::kTransfer, metric_keys::kTransferMax, row.transfer);
  seconds(metric_keys::kWaiting, metric_keys::kWaitingMax, row.waiting);
  seconds(metric_keys::kHidden, metric_keys::kHiddenMax, row.hidden);
  return json;
}

Json to_json(const TrafficProfile& profile) {
  Json rows = Json::array();
  for (const TrafficRow& row : profile.rows) rows.push_back(to_json(row));
  return {{metric_keys::kRanks, profile.ranks},
          {metric_keys::kHosts, profile.hosts},
          {metric_keys::kSeconds, rounded(profile.seconds)},
          {metric_keys::kLost, profile.lost()},
          {metric_keys::kRows, rows}};
}

Json timeline_json(const TrafficProfile& profile, int rank) {
  Json phases = Json::array(), events = Json::array();
  for (size_t i = 0; i < std::min(profile.phases.size(), kMostEvents); ++i) {
    const StepPhase& p = profile.phases[i];
    phases.push_back(
        {{metric_keys::kName, p.name}, {metric_keys::kBegin, rounded(p.begin)}, {metric_keys::kEnd, rounded(p.end)}});
  }
  for (const TrafficEvent& e : profile.events) {
    if (!e.is_timed || events.size() >= kMostEvents) continue;
    events.push_back({{metric_keys::kKind, name_of(e.label.kind)},
                      {metric_keys::kLayer, e.label.layer},
                      {metric_keys::kBegin, rounded(e.begin)},
                      {metric_keys::kEnd, rounded(e.end)},
                      {metric_keys::kWaiting, rounded(e.waiting)},
                      {metric_keys::kHidden, rounded(e.hidden)}});
  }
  return {{metric_keys::kRank, rank},
          {metric_keys::kSeconds, rounded(profile.seconds)},
          {metric_keys::kPhases, phases},
          {metric_keys::kEvents, events}};
}

void TrafficTotals::add(const TrafficProfile& profile) {
  ++steps_;
  seconds_ += profile.seconds;
  lost_ += profile.lost() * profile.seconds;
  for (const TrafficRow& from : profile.rows) {
    Row& to = rows_[as_index(from.label.kind)];
    for (const auto count : kTrafficCounts) to.counts.*count += from.counts.*count;
    to.transfer += from.transfer.mean;
    to.waiting += from.waiting.mean;
    to.hidden += from.hidden.mean;
    to.is_timed &= from.is_timed;
  }
}

std::vector<std::string> TrafficTotals::to_words() const {
  const auto steps = static_cast<double>(std::max<int64_t>(steps_, 1));
  std::vector<std::string> lines{
      fmt::format("Communication of {} recorded updates: {:.1f} ms per update, {:.1f} % of it lost to communication",
                  steps_, seconds_ / steps * 1e3, seconds_ > 0 ? 100 * lost_ / seconds_ : 0),
      fmt::format("  {:<10} {:>12} {:>14} {:>9} {:>12} {:>11} {:>10}", "per update", "inside hosts", "between hosts",
                  "messages", "transfer ms", "waiting ms", "hidden ms")};
  for (const TrafficKind kind : kTrafficKinds) {
    const Row& row = rows_[as_index(kind)];
    if (row.counts.messages() == 0) continue;
    const auto bytes = [&](int64_t n) { return format_bytes(static_cast<double>(n) / steps); };
    const auto ms = [&](double seconds) {
      return row.is_timed ? fmt::format("{:.2f}", seconds / steps * 1e3) : std::string("-");
    };
    lines.push_back(fmt::format("  {:<10} {:>12} {:>14} {:>9} {:>12} {:>11} {:>10}", name_of(kind),
                                bytes(row.counts.bytes_inside), bytes(row.counts.bytes_between),
                                format_count(std::round(static_cast<double>(row.counts.messages()) / steps)),
                                ms(row.transfer), ms(row.waiting), ms(row.hidden)));
  }
  return lines;
}

}  // namespace moe
