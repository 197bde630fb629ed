#include "comm/traffic.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <span>

#include "comm/communicator.h"
#include "core/base/integer.h"

namespace moe {

const char* name_of(TrafficKind kind) {
  static constexpr std::array kNames{"dispatch", "combine", "gradients", "weights", "replicas", "sums"};
  static_assert(kNames.size() == kTrafficKinds.size());
  return kNames[as_index(kind)];
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double TrafficProfile::lost() const {
  double sum = 0;
  for (const TrafficRow& row : rows) sum += row.lost();
  return seconds > 0 ? sum / seconds : 0;
}

void TrafficRecorder::begin_step() {
  events_.clear();
  phases_.clear();
  is_on_ = true;
  start_ = clock_();
}

// All ranks of a communicator carry out the same communications in the same order, so the n-th event of one rank and
// that of another are the same communication.
static void find_waiting(std::vector<TrafficEvent>& events) {
  std::vector<std::shared_ptr<Communicator>>
      groups;  // in the order of their first event, which is the same on their ranks
  for (const TrafficEvent& e : events) {
    if (std::find(groups.begin(), groups.end(), e.ranks) == groups.end()) groups.push_back(e.ranks);
  }
  for (const std::shared_ptr<Communicator>& group : groups) {
    std::vector<double> shortest;  // negative, so that the largest is the shortest
    const auto counts = [&](const TrafficEvent& e) { return e.ranks == group && e.blocks && e.is_timed; };
    for (const TrafficEvent& e : events) {
      if (counts(e)) shortest.push_back(e.begin - e.end);
    }
    if (shortest.empty()) continue;
    group->all_reduce_max(as_tensor(std::span(shortest)));
    auto next = shortest.begin();
    for (TrafficEvent& e : events) {
      if (counts(e)) e.waiting = std::max(e.end - e.begin + *next++, 0.0);
    }
  }
}

namespace {

// The seconds of one rank's events of one label.
struct Seconds {
  double transfer = 0, waiting = 0, hidden = 0;
};
constexpr size_t kNumSeconds = 3;

constexpr RankSpread TrafficRow::*kSpreads[kNumSeconds] = {&TrafficRow::transfer, &TrafficRow::waiting,
                                                           &TrafficRow::hidden};
constexpr double Seconds::*kSeconds[kNumSeconds] = {&Seconds::transfer, &Seconds::waiting, &Seconds::hidden};

struct RankRow {
  TrafficCounts counts;
  Seconds seconds;
  bool is_timed = true;
};

int hosts_of(const Communicator& world) {
  std::set<int> hosts;
  for (int rank = 0; rank < world.size(); ++rank) hosts.insert(world.host_of(rank));
  return static_cast<int>(hosts.size());
}

}  // namespace

TrafficProfile TrafficRecorder::finish_step(Communicator& world) {
  TrafficProfile profile{.ranks = world.size(), .hosts = hosts_of(world), .rows = {}, .phases = {}, .events = {}};
  double seconds = now();
  is_on_ = false;
  find_waiting(events_);
  std::map<TrafficLabel, RankRow> mine;  // the same labels on every rank
  for (const TrafficEvent& e : events_) {
    RankRow& row = mine[e.label];
    for (const auto count : kTrafficCounts) row.counts.*count += e.counts.*count;
    row.is_timed &= e.is_timed;
    row.seconds.transfer += e.end - e.begin - e.waiting;
    row.seconds.waiting += e.waiting;
    row.seconds.hidden += e.hidden;
  }
  std::vector<double> sums{seconds}, largest;
  for (const auto& [key, row] : mine) {
    for (const auto count : kTrafficCounts) sums.push_back(static_cast<double>(row.counts.*count));
    for (const auto part : kSeconds) {
      sums.push_back(row.seconds.*part);
      largest.push_back(row.seconds.*part);
    }
  }
  world.all_reduce_sum(as_tensor(std::span(sums)));
  world.all_reduce_max(as_tensor(std::span(largest)));
  const auto ranks = static_cast<double>(world.size());
  auto sum = sums.begin(), most = largest.begin();
  profile.seconds = *sum++ / ranks;
  for (const auto& [key, row] : mine) {
    TrafficRow& all = profile.rows.emplace_back();
    all.label = key;
    all.is_timed = row.is_timed;
    for (const auto count : kTrafficCounts) all.counts.*count = static_cast<int64_t>(*sum++);
    for (const auto spread : kSpreads) all.*spread = {*sum++ / ranks, *most++};
  }
  profile.phases = phases_;
  profile.events = events_;
  return profile;
}

}  // namespace moe
