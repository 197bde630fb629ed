#include "core/plan/step_model.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "comm/process_groups.h"
#include "core/base/integer.h"

namespace moe {
namespace {

// Ranks that communicate, equally many on each of their hosts.
struct Group {
  double ranks, on_host;
  double hosts() const { return ranks / on_host; }
};

// Seconds, and whether they are spent on the links between hosts.
struct Transfer {
  double seconds = 0;
  bool between = false;
};

class Cluster {
 public:
  Cluster(const NetworkConfig& network, const PlannedRanks& ranks) : network_(network), ranks_(ranks) {}

  // The ranks that share the experts are neighbours on hosts; those with the same experts have the other places.
  Group expert_group(double width) const { return {width, std::min(width, ranks_.per_host)}; }
  Group data_group(double width) const {
    const double copies = ranks_.ranks / width;
    return {copies, std::max(ranks_.per_host / width, 1.0)};
  }
  Group world() const { return {ranks_.ranks, ranks_.per_host}; }

  // An exchange of rows in which a rank sends `bytes` in equal parts to all ranks of the group.
  Transfer exchange(const Group& g, double bytes, double share) const {
    if (g.ranks <= 1) return {};
    const Transfer t = links(bytes * (g.on_host - 1) / g.ranks, bytes * (g.ranks - g.on_host) / g.ranks, share);
    return {t.seconds + latency(g) + (g.ranks - 2) * network_.message, t.between};
  }

  // Rows of tokens that choose `k` experts: once to each other host that has some of them, then to these on the host.
  Transfer hierarchical(const Group& g, double rows, double k, double row) const {
    const double hosts = g.hosts(), other = (hosts - 1) * (1 - std::pow(1 - 1 / hosts, k));
    const Transfer first = links(0, rows / k * other * row, network_.exchange);
    const Transfer second = links(rows * row * (g.on_host - 1) / g.on_host, 0, network_.exchange);
    const double messages = (hosts + g.on_host - 2) * network_.message;
    return {first.seconds + second.seconds + network_.between.latency + network_.inside.latency + messages, true};
  }

  // Of the sums of `bytes`, as many times as often as `ways`: 2 = to one rank and back to all, 1 = one of these.
  Transfer sum(const Group& g, double bytes, double ways) const {
    if (g.ranks <= 1) return {};
    const ReductionConfig& r = network_.reduction;
    const bool direct = r.kind == "direct";
    const double inside = ways * bytes * (g.on_host - 1) / (direct ? g.ranks : g.on_host);
    const double between =
        ways * bytes * (direct ? (g.ranks - g.on_host) / g.ranks : (g.hosts() - 1) / g.hosts() / g.on_host);
    Transfer t = links(inside, between, r.share);
    t.seconds += r.latency + ways * (direct ? (g.ranks - 2) * network_.message : std::log2(g.ranks) * latency(g));
    return t;
  }

  // A small sum that the step waits for.
  double small_sum(const Group& g) const { return g.ranks > 1 ? 2 * std::ceil(std::log2(g.ranks)) * latency(g) : 0; }

 private:
  double latency(const Group& g) const { return g.hosts() > 1 ? network_.between.latency : network_.inside.latency; }
  // Bytes of a rank to its own host and to others; both links work at once.
  Transfer links(double inside, double between, double share) const {
    const double of_host = network_.host_rate > 0 ? network_.host_rate / ranks_.per_host : network_.between.rate;
    const double near = inside / (network_.inside.rate * share),
                 far = between / (std::min(network_.between.rate, of_host) * share);
    return {std::max(near, far), far >= near && between > 0};
  }

  const NetworkConfig& network_;
  PlannedRanks ranks_;
};

// Seconds of computing in a micro-batch.
struct BlockTimes {
  double attention, feed_forward, experts, other;
  double rows;  // that a rank sends to experts
  double imbalance;
  double forward() const { return attention + feed_forward + other; }
};

// One rank's step. Gradients travel at the full rate of their links while the rank computes, and share the links with
// exchanges of rows.
class Timeline {
 public:
  explicit Timeline(double slowed) : slowed_(slowed) {}

  double time() const { return time_; }
  double exposed() const { return exposed_; }

  void compute(double seconds) {
    // While gradients travel, computing takes longer.
    const double during = std::min(travelling_.seconds, seconds * slowed_);
    travelling_.seconds -= during;
    time_ += during + (seconds - during / slowed_);
  }
  void exchange(const Transfer& t) {
    const bool shared = travelling_.between == t.between;
    const double together = shared ? std::min(travelling_.seconds, t.seconds) : 0;
    travelling_.seconds -= shared ? together : std::min(travelling_.seconds, t.seconds);
    time_ += t.seconds + together;
    exposed_ += t.seconds + together;
  }
  // Rows in n parts: part i + 1 is sent while part i is computed. `there` and `back` are the times of all rows.
  void pipeline(const Transfer& there, double work, const Transfer& back, double fixed, int64_t n) {
    const auto parts = static_cast<double>(n);
    double link = 0, core = 0, total = 0;  // when each is free
    std::deque<double> computed;
    for (int64_t i = 0; i < n; ++i) {
      link += there.seconds / parts;
      core = std::max(core, link) + work / parts;
      computed.push_back(core);
    }
    link = std::max(link, fixed);
    for (const double ready : computed) link = std::max(link, ready) + back.seconds / parts;
    total = std::max(link, core);
    const double busy = there.seconds + back.seconds, idle = std::max(total - busy, 0.0);
    travelling_.seconds -= std::min(travelling_.seconds, travelling_.between == there.between ? idle : total);
    time_ += total;
    exposed_ += total - work;
  }
  void start(const Transfer& t) {
    travelling_.seconds += t.seconds;
    travelling_.between = t.between;
  }
  double drain() {
    const double left = std::exchange(travelling_.seconds, 0.0);
    time_ += left;
    return left;
  }

 private:
  double slowed_, time_ = 0, exposed_ = 0;
  Transfer travelling_;  // gradients that are left
};

class StepModel {
 public:
  StepModel(const ModelCost& model, const PlannedStep& shape, const PlannedRanks& ranks, const NetworkConfig& network,
            const PlanSetting& setting)
      : model_(model),
        shape_(shape),
        network_(network),
        setting_(setting),
        cluster_(network, ranks),
        expert_(cluster_.expert_group(static_cast<double>(setting.expert))),
        data_(cluster_.data_group(static_cast<double>(setting.expert))),
        world_(cluster_.world()),
        step_(network.compute.slowed) {
    size_t moe = 0;
    const ComputeConfig& c = network.compute;
    const double tokens = shape.tokens / static_cast<double>(setting.micro_batches);
    for (const BlockCost& b : model.blocks) {
      const double f = b.experts > 0 && !shape.imbalance.empty() ? shape.imbalance[moe % shape.imbalance.size()] : 1;
      moe += b.experts > 0 ? 1 : 0;
      // The rates are those of forward and backward together, which have three times the operations of forward.
      const auto forward = [&](double flops, double rate) { return 3 * flops / rate / (1 + c.backward); };
      times_.push_back({.attention = tokens * forward(b.attention, c.attention),
                        .feed_forward = tokens * forward(b.feed_forward, c.feed_forward),
                        .experts = f * tokens * b.assignments * forward(b.assignment, c.experts),
                        .other = c.passes * tokens * model.width * shape.row_bytes / c.memory / (1 + c.backward),
                        .rows = tokens * b.assignments,
                        .imbalance = f});
    }
    head_ = tokens * 3 * model.head / c.head;
  }

  Prediction run() {
    Prediction p;
    const int64_t micro_batches = setting_.micro_batches;
    const bool sums_first = micro_batches > 1 && model_.sums_first;
    for (int64_t m = 0; sums_first && m < micro_batches; ++m) forward();
    small_sums(1);
    p.forward = step_.time();
    for (int64_t m = 0; m < micro_batches; ++m) {
      const double begin = step_.time();
      forward();
      const double middle = step_.time();
      backward(m + 1 >= micro_batches);
      p.forward += middle - begin;
      p.backward += step_.time() - middle;
    }
    p.exchange = step_.exposed();
    p.reduction = reduce();
    small_sums(3);
    p.update = update();
    p.step = step_.time();
    return p;
  }

 private:
  Transfer exchange(const BlockTimes& b) const {
    const double row = model_.width * shape_.row_bytes, rows = b.rows * b.imbalance;
    if (setting_.hierarchical && expert_.hosts() > 1) {
      const double k = b.rows * static_cast<double>(setting_.micro_batches) / shape_.tokens;
      return cluster_.hierarchical(expert_, rows, std::max(k, 1.0), row);
    }
    return cluster_.exchange(expert_, rows * row, network_.exchange);
  }

  // Rows to the experts, which take `work`, and back; `beside` can be computed while the first rows are on their way.
  void experts(const BlockTimes& b, double work, double beside) {
    if (b.rows == 0 || expert_.ranks <= 1) return step_.compute(work + beside);
    const Transfer t = exchange(b);
    if (setting_.overlap > 1) {
      step_.compute(beside);
      return step_.pipeline(t, work, t, 0, setting_.overlap);
    }
    step_.compute(beside);
    step_.exchange(t);
    step_.compute(work);
    step_.exchange(t);
  }

  void forward() {
    for (const BlockTimes& b : times_) {
      forward(b);
      if (b.rows > 0) step_.exchange(cluster_.exchange(expert_, 0, 1));  // the counts of rows
    }
  }
  void forward(const BlockTimes& b) {
    step_.compute(b.attention + b.other);
    experts(b, b.experts, b.feed_forward);
  }

  void backward(bool last) {
    const double ratio = network_.compute.backward;
    step_.compute(head_);
    if (last) complete(model_.first_parameters, 0, false);
    for (size_t i = times_.size(); i-- > 0;) {
      const BlockTimes& b = times_[i];
      if (setting_.recompute == "blocks") forward(b);
      const double again = setting_.recompute == "experts" ? kHiddenShare * b.experts : 0;
      experts(b, ratio * b.experts + again, ratio * b.feed_forward);
      step_.compute(ratio * (b.attention + b.other));
      if (last) complete(model_.blocks[i].shared_parameters, model_.blocks[i].expert_parameters, i == 0);
    }
    if (last) complete(model_.last_parameters, 0, true);
  }

  // Gradients that backward has completed: they are started when there are enough for a bucket, or at the end.
  void complete(double shared, double experts, bool all) {
    shared_ += shared;
    experts_ += experts / static_cast<double>(setting_.expert);
    if (!setting_.reduce_during_backward) return;
    start(all);
  }
  void start(bool all) {
    const double ways = setting_.shard ? 1 : 2;
    for (auto& [elements, group] : {std::pair<double&, const Group&>{shared_, world_}, {experts_, data_}}) {
      if (elements == 0 || (!all && elements < shape_.bucket)) continue;
      step_.start(cluster_.sum(group, elements * shape_.gradient_bytes, ways));
      elements = 0;
    }
  }
  double reduce() {
    start(true);
    return step_.drain();
  }

  void small_sums(int count) {
    for (int i = 0; i < count; ++i) step_.exchange({cluster_.small_sum(world_), world_.hosts() > 1});
  }

  double update() {
    double shared = model_.first_parameters + model_.last_parameters, experts = 0;
    for (const BlockCost& b : model_.blocks) {
      shared += b.shared_parameters;
      experts += b.expert_parameters / static_cast<double>(setting_.expert);
    }
    const double begin = step_.time(), rate = network_.compute.update / network_.compute.memory;
    if (!setting_.shard) {
      step_.compute((shared + experts) * rate);
    } else {
      // New weights of a bucket are sent while the next one is updated.
      step_.start(cluster_.sum(world_, shared * shape_.row_bytes, 1));
      step_.start(cluster_.sum(data_, experts * shape_.row_bytes, 1));
      step_.compute((shared / world_.ranks + experts / data_.ranks) * rate);
      step_.drain();
    }
    return step_.time() - begin;
  }

  // With model.recompute: experts, the first of the experts' products is computed again: two of three matrices of a
  // gated layer.
  static constexpr double kHiddenShare = 2.0 / 3;

  const ModelCost& model_;
  const PlannedStep& shape_;
  const NetworkConfig& network_;
  const PlanSetting& setting_;
  Cluster cluster_;
  Group expert_, data_, world_;
  Timeline step_;
  std::vector<BlockTimes> times_;
  double head_ = 0;                  // forward and backward
  double shared_ = 0, experts_ = 0;  // elements of gradients that are complete and not started
};

}  // namespace

Prediction predict(const ModelCost& model, const PlannedStep& shape, const PlannedRanks& ranks,
                   const NetworkConfig& network, const PlanSetting& setting) {
  Prediction p = StepModel(model, shape, ranks, network, setting).run();
  NetworkConfig ideal = network;
  ideal.inside.latency = ideal.between.latency = ideal.message = ideal.reduction.latency = 0;
  ideal.inside.rate = ideal.between.rate = 1e30;
  ideal.host_rate = 0;
  ideal.compute.slowed = 1;
  p.compute = StepModel(model, shape, ranks, ideal, setting).run().step;
  return p;
}

double exchange_seconds(const NetworkConfig& network, const PlannedRanks& ranks, double bytes) {
  const Cluster cluster(network, ranks);
  return cluster.exchange(cluster.world(), bytes, network.exchange).seconds;
}

double sum_seconds(const NetworkConfig& network, const PlannedRanks& ranks, double bytes) {
  const Cluster cluster(network, ranks);
  return cluster.sum(cluster.world(), bytes, 2).seconds;
}

double imbalance_of(const std::vector<double>& shares, int64_t ranks) {
  double most = 0, all = 0;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const Share mine = share_of(std::ssize(shares), ranks, rank);
    double sum = 0;
    for (int64_t e = mine.begin; e < mine.begin + mine.count; ++e) sum += shares[as_index(e)];
    most = std::max(most, sum);
    all += sum;
  }
  return all > 0 ? most / all * static_cast<double>(ranks) : 1;
}

}  // namespace moe
