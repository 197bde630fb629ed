#include "core/bench/bench_communication.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "comm/process_groups.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/plan/link_fit.h"
#include "core/plan/network.h"
#include "core/plan/step_model.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One size of a collective: the number of bytes and the time.
class Measurement {
 public:
  Measurement(Communicator& world, const CommunicationBenchOptions& options)
      : world_(world), options_(options), sent_(as_index(options.most / 4)), received_(sent_.size()) {}

  // The median over repetitions of the slowest rank's time. A single one says little on a busy machine.
  template <class Work>
  double seconds(Work work) {
    work();  // connects
    std::vector<double> times;
    double all = 0;
    while ((all < options_.seconds || times.size() < kLeast) && times.size() < 1000) {
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

  // All ranks of the first host send to those of another one; returns the seconds, and the ranks of a host.
  double hosts(int64_t elements, int64_t* per_host) {
    const int me = world_.rank(), here = world_.host_of(me);
    std::map<int, std::vector<int>> ranks;
    for (int rank = 0; rank < world_.size(); ++rank) ranks[world_.host_of(rank)].push_back(rank);
    const std::vector<int>&first = ranks.begin()->second, &second = std::next(ranks.begin())->second;
    const size_t pairs = std::min(first.size(), second.size());
    *per_host = static_cast<int64_t>(pairs);
    std::vector<int64_t> rows(as_index(world_.size()));
    int64_t all = 0;
    for (size_t i = 0; i < pairs; ++i) {
      if (me != first[i] && me != second[i]) continue;
      rows[as_index(here == world_.host_of(first[i]) ? second[i] : first[i])] = all = elements;
    }
    return exchange(rows, all);
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

  // As many sums at once as go on at once in a step, of `elements` together: one is added while others travel.
  double all_reduce_at_once(int64_t elements) {
    std::fill_n(sent_.begin(), elements, 0.0f);
    const int64_t each = elements / Communicator::kSumsAtOnce;
    const std::vector<int64_t> parts = equal_parts(each, world_.size());
    return seconds([&] {
      std::array<Pending, as_index(Communicator::kSumsAtOnce)> pending;
      for (size_t i = 0; i < pending.size(); ++i) {
        pending[i] =
            world_.start_all_reduce_sum(as_tensor(std::span(sent_).subspan(i * as_index(each), as_index(each))), parts);
      }
      for (Pending& p : pending) p.wait();
    });
  }

 private:
  static constexpr size_t kLeast = 5;

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

// The first rank and the first other one on the same host, or on another.
std::optional<int> partner(const Communicator& world, bool same_host) {
  for (int rank = 1; rank < world.size(); ++rank) {
    if ((world.host_of(rank) == world.host_of(0)) == same_host) return rank;
  }
  return std::nullopt;
}

// A share of the links' rate that a file of a network may have. Times that are too short to measure may give others.
double possible_share(double share) {
  return std::clamp(share, 0.001, 10.0);
}

// What an exchange and a sum among all ranks take beyond what the links alone would.
void fit_all(NetworkConfig& network, const Communicator& world, const LinkFit& exchange, const LinkFit& sum) {
  const RankCounts counts = RankCounts::of(world);
  const PlannedRanks ranks{static_cast<double>(counts.ranks), static_cast<double>(counts.per_host)};
  network.exchange = network.reduction.share = 1;
  network.message = network.reduction.latency = 0;
  const double latency = exchange_seconds(network, ranks, 0);
  if (counts.ranks > 2) network.message = std::max(exchange.latency - latency, 0.0) / (ranks.ranks - 2);
  constexpr double kLarge = 1e9;
  network.exchange = possible_share((exchange_seconds(network, ranks, kLarge) - exchange_seconds(network, ranks, 0)) /
                                    (kLarge / exchange.rate));
  network.reduction.latency = sum.latency;
  network.reduction.share =
      possible_share((sum_seconds(network, ranks, kLarge) - sum_seconds(network, ranks, 0)) / (kLarge / sum.rate));
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
  Json fits;
  NetworkConfig network = options.network.empty() ? NetworkConfig() : read_network_or_default(options.network);
  for (const bool same_host : {true, false}) {
    const std::optional<int> other = partner(world, same_host);
    if (!other) continue;
    const char* const where = same_host ? "inside" : "between";
    std::vector<MessageTime> points;
    for_sizes([&](int64_t bytes) {
      const double seconds = measurement.pair(0, *other, bytes / 4);
      points.push_back({static_cast<double>(bytes), seconds});
      line("pair", where, bytes, seconds);
    });
    const LinkFit fit = fit_all_sizes(points);
    fits[where] = Json{{"latency", fit.latency}, {"bytes_per_second", fit.rate}};
    LinkConfig& link = same_host ? network.inside : network.between;
    const LinkFit ends = fit_ends(points);
    link.latency = ends.latency;
    link.rate = ends.rate;
  }
  const char* const everywhere = partner(world, false) ? "between" : "inside";
  std::vector<MessageTime> exchanges, sums;
  for_sizes([&](int64_t bytes) {
    exchanges.push_back({static_cast<double>(bytes), measurement.all_to_all(bytes / 4)});
    line("all_to_all", everywhere, bytes, exchanges.back().seconds);
  });
  for_sizes([&](int64_t bytes) {
    sums.push_back({static_cast<double>(bytes), measurement.all_reduce(bytes / 4)});
    line("all_reduce", everywhere, bytes, sums.back().seconds);
  });
  show({{"bench", "communication"}, {"ranks", world.size()}, {"network", fits}});
  if (options.network.empty()) return;
  if (partner(world, false)) {
    int64_t per_host = 1;
    const double bytes = static_cast<double>(options.most / 4 * 4),
                 seconds = measurement.hosts(options.most / 4, &per_host);
    network.host_rate = static_cast<double>(per_host) * bytes / std::max(seconds - network.between.latency, 1e-9);
  }
  sums.back().seconds = measurement.all_reduce_at_once(static_cast<int64_t>(sums.back().bytes) / 4);
  fit_all(network, world, fit_ends(exchanges), fit_ends(sums));
  if (world.rank() == 0) write_network(options.network, network);
}

}  // namespace moe
