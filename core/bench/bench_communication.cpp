#include "core/bench/bench_communication.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "comm/process_groups.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One size of a collective: the number of bytes and the time.
struct Point {
  double bytes, seconds;
};

class Measurement {
 public:
  Measurement(Communicator& world, const CommunicationBenchOptions& options)
      : world_(world), options_(options), sent_(as_index(options.most / 4)), received_(sent_.size()) {}

  // The median over repetitions of the slowest rank's time.
  template <class Work>
  double seconds(Work work) {
    work();  // connects
    std::vector<double> times;
    double all = 0;
    while (all < options_.seconds && times.size() < 1000) {
      world_.barrier();
      const auto start = Clock::now();
      work();
      double mine = seconds_since(start);
      world_.all_reduce_max(as_tensor(std::span(&mine, 1)));
      times.push_back(mine);
      all += mine;  // the same on all ranks
    }
    std::nth_element(times.begin(), times.begin() + std::ssize(times) / 2, times.end());
    return times[times.size() / 2];
  }

  double pair(int first, int second, int64_t elements) {
    const int me = world_.rank(), other = me == first ? second : me == second ? first : -1;
    std::vector<int64_t> rows(as_index(world_.size()));
    if (other >= 0) rows[as_index(other)] = elements;
    return exchange(rows, other >= 0 ? elements : 0);
  }

  double all_to_all(int64_t elements) {
    const std::vector<int64_t> rows = equal_rows(elements);
    return exchange(rows, rows[0] * world_.size());
  }

  double all_reduce(int64_t elements) {
    std::fill_n(sent_.begin(), elements, 0.0f);
    const std::vector<int64_t> parts = equal_parts(elements, world_.size());
    const Tensor x = as_tensor(std::span(sent_).first(as_index(elements)));
    return seconds([&] { world_.start_all_reduce_sum(x, parts).wait(); });
  }

 private:
  std::vector<int64_t> equal_rows(int64_t elements) const {
    return std::vector<int64_t>(as_index(world_.size()), elements / world_.size());
  }

  double exchange(const std::vector<int64_t>& rows, int64_t all) {
    const Tensor from = as_tensor(std::span(sent_).first(as_index(all))),
                 to = as_tensor(std::span(received_).first(as_index(all)));
    return seconds([&] { world_.all_to_all(to, rows, from, rows); });
  }

  Communicator& world_;
  const CommunicationBenchOptions& options_;
  std::vector<float> sent_, received_;
};

// seconds = latency + bytes / rate, by least squares of relative errors.
Json fitted(const std::vector<Point>& points) {
  double w = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const Point& p : points) {
    const double weight = 1 / (p.seconds * p.seconds);
    w += weight;
    x += weight * p.bytes;
    y += weight * p.seconds;
    xx += weight * p.bytes * p.bytes;
    xy += weight * p.bytes * p.seconds;
  }
  const double slope = (w * xy - x * y) / (w * xx - x * x);
  return {{"latency", std::max((y - slope * x) / w, 0.0)}, {"bytes_per_second", 1 / slope}};
}

// The first rank and the first other one on the same host, or on another.
std::optional<int> partner(const Communicator& world, bool same_host) {
  for (int rank = 1; rank < world.size(); ++rank) {
    if ((world.host_of(rank) == world.host_of(0)) == same_host) return rank;
  }
  return std::nullopt;
}

}  // namespace

void bench_communication(Communicator& world, const CommunicationBenchOptions& options,
                         const std::function<void(const std::string&)>& print) {
  const auto show = [&](const Json& line) {
    if (world.rank() == 0) print(json_text(line));
  };
  Measurement measurement(world, options);
  const auto line = [&](const char* collective, const char* where, int64_t bytes, double seconds) {
    show({{"bench", "communication"},
          {"collective", collective},
          {"where", where},
          {"ranks", world.size()},
          {"bytes", bytes},
          {"seconds", seconds},
          {"gb_per_s", static_cast<double>(bytes) / seconds / 1e9}});
  };
  const auto for_sizes = [&](auto use) {
    for (int64_t bytes = 1024; bytes <= options.most; bytes *= 4) use(bytes);
  };
  Json network;
  for (const bool same_host : {true, false}) {
    const std::optional<int> other = partner(world, same_host);
    if (!other) continue;
    const char* const where = same_host ? "inside" : "between";
    std::vector<Point> points;
    for_sizes([&](int64_t bytes) {
      const double seconds = measurement.pair(0, *other, bytes / 4);
      points.push_back({static_cast<double>(bytes), seconds});
      line("pair", where, bytes, seconds);
    });
    network[where] = fitted(points);
  }
  const char* const everywhere = partner(world, false) ? "between" : "inside";
  for_sizes([&](int64_t bytes) { line("all_to_all", everywhere, bytes, measurement.all_to_all(bytes / 4)); });
  for_sizes([&](int64_t bytes) { line("all_reduce", everywhere, bytes, measurement.all_reduce(bytes / 4)); });
  show({{"bench", "communication"}, {"ranks", world.size()}, {"network", network}});
}

}  // namespace moe
